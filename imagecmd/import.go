package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/archive"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// ImportOptions says what Import makes an image of.
type ImportOptions struct {
	// Input is a tar of a root filesystem, plain or compressed with gzip, zstd,
	// xz or bzip2; "" or "-" is Stdin.
	Input string
	Stdin io.Reader
	// Name is the image's; "" leaves it nameless.
	Name string
	// Message is its history's comment; "" is Docker's "Imported from -".
	Message string
	// Created is its time; zero is SOURCE_DATE_EPOCH where that is set, else now.
	Created time.Time
	// Platform is what it runs on; nil is this host, without a CPU variant.
	Platform *ocispec.Platform
	// MaxExpansion bounds decompression, as in [LoadOptions].
	MaxExpansion int64
}

// imported is the config of an imported image: the specification's fields with
// the comment that Docker keeps beside them.
type imported struct {
	ocispec.Image
	Comment string `json:"comment,omitempty"`
}

// Import makes a one-layer image of a tar and prints its ID. The layer is kept
// as the uncompressed tar: the same tar at the same time is the same image.
func Import(ctx context.Context, st *store.Store, o ImportOptions, out io.Writer) error {
	names, err := importName(o.Name)
	if err != nil {
		return err
	}
	created, err := importTime(o.Created)
	if err != nil {
		return err
	}
	src := o.Stdin
	if o.Input != "" && o.Input != "-" {
		f, err := os.Open(o.Input)
		if err != nil {
			return err
		}
		defer f.Close()
		src = f
	}
	id, err := importTar(ctx, st, src, created, names, o)
	if err != nil {
		return fmt.Errorf("import %s: %w", importSource(o.Input), err)
	}
	fmt.Fprintln(out, id)
	return nil
}

func importSource(input string) string {
	if input == "" || input == "-" {
		return "from stdin"
	}
	return input
}

func importTar(ctx context.Context, st *store.Store, src io.Reader, created time.Time, names []reference.Named, o ImportOptions) (digest.Digest, error) {
	tar, _, err := archive.Decompress(src, o.MaxExpansion)
	if err != nil {
		return "", err
	}
	defer tar.Close()
	in, err := st.Begin(ctx)
	if err != nil {
		return "", err
	}
	defer in.Close()
	layer, err := in.Layer(ctx, store.LayerSource{
		Size: -1, MaxExpansion: o.MaxExpansion,
		Open: func() (io.ReadCloser, error) { return tar, nil },
	})
	if err != nil {
		return "", err
	}
	comment := o.Message
	if comment == "" {
		comment = "Imported from -" // Docker's client sends files as it sends stdin
	}
	platform := st.Platform()
	platform.Variant = ""
	if o.Platform != nil {
		platform = *o.Platform
	}
	config := imported{Comment: comment, Image: ocispec.Image{
		Created:  &created,
		Platform: platform,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.DiffID}},
		History:  []ocispec.History{{Created: &created, Comment: comment}},
	}}
	raw, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	desc, err := in.Bytes(ctx, ocispec.MediaTypeImageConfig, raw)
	if err != nil {
		return "", err
	}
	layers := []ocispec.Descriptor{layer.Descriptor}
	target, err := putManifest(ctx, in, desc, layers)
	if err != nil {
		return "", err
	}
	if _, err := in.Chain(ctx, config.Image, layers); err != nil {
		return "", err
	}
	_, err = in.Commit(ctx, target, names...)
	return desc.Digest, err
}

func importName(name string) ([]reference.Named, error) {
	if name == "" {
		return nil, nil
	}
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, err
	}
	if _, ok := ref.(reference.Canonical); ok {
		return nil, errors.New("cannot import digest reference") // Docker's words
	}
	return []reference.Named{reference.TagNameOnly(ref)}, nil
}

// importTime is when an image that is made now was made: reproducible-builds.org's
// SOURCE_DATE_EPOCH, in seconds, stands for the clock.
func importTime(t time.Time) (time.Time, error) {
	if !t.IsZero() {
		return t.UTC(), nil
	}
	if s := os.Getenv("SOURCE_DATE_EPOCH"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return t, fmt.Errorf("SOURCE_DATE_EPOCH=%.40s is not a number of seconds", s)
		}
		return time.Unix(n, 0).UTC(), nil
	}
	return time.Now().UTC(), nil
}

package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/archive"
	"github.com/cfs-project/cfs/imagecmd/internal/weburl"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// ImportOptions says what Import makes an image of.
type ImportOptions struct {
	// Input is a tar of a root filesystem, plain or compressed with gzip, zstd,
	// xz or bzip2: a file, an HTTP URL, or, "-", Stdin.
	Input string
	Stdin io.Reader
	// Name is the image's; "" leaves it nameless.
	Name string
	// Message is its history's comment; "" is Docker's, which says where it came from.
	Message string
	// Changes are Dockerfile instructions that make its configuration, see change.
	Changes []string
	// Created is its time; zero is SOURCE_DATE_EPOCH where that is set, else now.
	Created time.Time
	// Platform is what it runs on; nil is this host, without a CPU variant.
	Platform *ocispec.Platform
	// MaxExpansion bounds decompression, as in [LoadOptions].
	MaxExpansion int64
}

// Import makes a one-layer image of a tar and prints its ID. The layer is kept
// as the uncompressed tar: the same tar at the same time is the same image.
func Import(ctx context.Context, st *store.Store, o ImportOptions, out io.Writer) error {
	names, err := newName(o.Name)
	if errors.Is(err, errDigestName) {
		return errors.New("cannot import digest reference") // Docker's words here
	}
	if err != nil {
		return err
	}
	created := o.Created.UTC()
	if created.IsZero() {
		epoch, err := sourceDateEpoch()
		if err != nil {
			return err
		}
		created = timeOr(epoch)
	}
	n := newImage{Names: names, Config: o.config(st, created)}
	if err := change(&n.Config.Config, o.Changes); err != nil {
		return err
	}
	src, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	id, err := n.importTar(ctx, st, src, o.MaxExpansion)
	if err != nil {
		return fmt.Errorf("import %s: %w", o.source(), err)
	}
	_, err = fmt.Fprintln(out, id)
	return err
}

func (o ImportOptions) fromStdin() bool { return o.Input == "-" }

// source is what is said of where the tar came from.
func (o ImportOptions) source() string {
	if o.fromStdin() {
		return "from stdin"
	}
	return o.Input
}

// config is the configuration of an imported image, without its layer.
func (o ImportOptions) config(st *store.Store, created time.Time) imageConfig {
	comment := o.Message
	if comment == "" {
		comment = "Imported from -" // Docker's client sends files as it sends stdin
		if weburl.Is(o.Input) {
			comment = "Imported from " + o.Input
		}
	}
	platform := st.Platform()
	platform.Variant = ""
	if o.Platform != nil {
		platform = *o.Platform
	}
	return imageConfig{Comment: comment, DockerOCIImage: dockerspec.DockerOCIImage{Image: ocispec.Image{
		Created:  &created,
		Platform: platform,
		RootFS:   ocispec.RootFS{Type: "layers"},
		History:  []ocispec.History{{Created: &created, Comment: comment}},
	}}}
}

// importTar brings the layer in and makes the image.
func (n newImage) importTar(ctx context.Context, st *store.Store, src io.Reader, maxExpansion int64) (digest.Digest, error) {
	tar, _, err := archive.Decompress(src, maxExpansion)
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
		Size: -1, MaxExpansion: maxExpansion,
		Open: func() (io.ReadCloser, error) { return tar, nil },
	})
	if err != nil {
		return "", err
	}
	n.Layers = []ocispec.Descriptor{layer.Descriptor}
	n.Config.RootFS.DiffIDs = []digest.Digest{layer.DiffID}
	return n.put(ctx, in)
}

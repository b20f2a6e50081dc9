package imagecmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/internal/piped"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/internal/reference"
	"github.com/cfs-project/cfs/layerpack"
)

// An imageConfig is an image's config as Docker writes it: the OCI image spec's
// (config.md), with Docker's additions.
type imageConfig struct {
	dockerspec.DockerOCIImage
	Comment   string `json:"comment,omitempty"`
	Container string `json:"container,omitempty"` // ID of what it was committed from
}

// readImageConfig reads the config of an image in the store.
func readImageConfig(ctx context.Context, st *store.Store, img store.Image) (imageConfig, error) {
	var c imageConfig
	raw, err := st.Document(ctx, ocispec.Descriptor{Digest: img.ID})
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		return c, fmt.Errorf("config of image %s: %w", img.ID, err)
	}
	return c, nil
}

// A newImage is an image that is being made.
type newImage struct {
	Config imageConfig
	Layers []ocispec.Descriptor // the blobs of Config's diff IDs, held by the Ingest
	Parent digest.Digest        // ID of the image it was made of; may be empty
	Step   digest.Digest        // key of the step of a build that makes it; may be empty
	Names  []reference.Named    // none: it stays nameless
}

// put makes the image one of the store, and returns its ID.
func (n newImage) put(ctx context.Context, in *store.Ingest) (digest.Digest, error) {
	_, id, err := n.putTarget(ctx, in)
	return id, err
}

// putTarget is put, and returns the image's target, too.
func (n newImage) putTarget(ctx context.Context, in *store.Ingest) (target ocispec.Descriptor, id digest.Digest, err error) {
	if len(n.Layers) > store.MaxLayers {
		return target, "", hint.With(errors.New("max depth exceeded"), "cfs squash makes one layer of many") // Docker's words
	}
	raw, err := json.Marshal(n.Config)
	if err != nil {
		return target, "", err
	}
	config, err := in.Bytes(ctx, ocispec.MediaTypeImageConfig, raw)
	if err != nil {
		return target, "", err
	}
	if target, err = putManifest(ctx, in, config, n.Layers); err != nil {
		return target, "", err
	}
	if _, err := in.Chain(ctx, n.Config.Image, n.Layers); err != nil {
		return target, "", err
	}
	if n.Parent != "" {
		target = store.WithParent(target, n.Parent)
	}
	if len(n.Names) > 0 {
		target = store.WithTagTime(target, time.Now())
	}
	if n.Step != "" {
		target = store.WithStep(target, n.Step)
	}
	_, err = in.Commit(ctx, target, n.Names...)
	return target, config.Digest, err
}

// errDigestName is the refusal, in Docker's words, to give an image a name that
// tells its digest.
var errDigestName = errors.New("refusing to create a tag with a digest reference")

// newName is the name for an image that is being made; "" is none.
func newName(name string) ([]reference.Named, error) {
	if name == "" {
		return nil, nil
	}
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, err
	}
	if _, ok := ref.(reference.Canonical); ok {
		return nil, errDigestName
	}
	return []reference.Named{reference.TagNameOnly(ref)}, nil
}

// sourceDateEpoch is the time that stands for the clock, and that no time in what
// is made is later than: SOURCE_DATE_EPOCH, in seconds since 1970, of
// reproducible-builds.org; nil if it is not set.
func sourceDateEpoch() (*time.Time, error) {
	return parseEpoch(os.Getenv("SOURCE_DATE_EPOCH"))
}

func parseEpoch(s string) (*time.Time, error) {
	if s == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("SOURCE_DATE_EPOCH=%.40s is not a number of seconds", s)
	}
	t := time.Unix(n, 0).UTC()
	return &t, nil
}

// timeOr is the epoch, or the clock's time where there is none.
func timeOr(epoch *time.Time) time.Time {
	if epoch != nil {
		return *epoch
	}
	return time.Now().UTC()
}

// newLayerOrNone is newLayer, or nil where the tar holds nothing.
func newLayerOrNone(ctx context.Context, in *store.Ingest, tar io.Reader, c layerpack.Compression) (*store.Layer, error) {
	b := bufio.NewReaderSize(tar, 256<<10)
	// A tar of nothing is blocks of zeros.
	if head, err := b.Peek(512); err == nil && len(bytes.Trim(head, "\x00")) == 0 {
		_, err := io.Copy(io.Discard, b)
		return nil, err
	}
	layer, err := newLayer(ctx, in, b, c)
	return &layer, err
}

// newLayer stores the layer that a tar is, plain or compressed, in one pass.
func newLayer(ctx context.Context, in *store.Ingest, tar io.Reader, c layerpack.Compression) (store.Layer, error) {
	return in.Layer(ctx, store.LayerSource{Size: -1, MaxExpansion: -1, Open: func() (io.ReadCloser, error) {
		return compressed(tar, c)
	}})
}

// compressed is what r holds in a compression.
func compressed(r io.Reader, c layerpack.Compression) (io.ReadCloser, error) {
	if c == layerpack.Plain {
		return io.NopCloser(r), nil
	}
	return piped.From(func(w io.Writer) error {
		z, err := layerpack.NewCompressor(w, c)
		if err != nil {
			return err
		}
		if _, err := io.Copy(z, r); err != nil {
			return errors.Join(err, z.Close())
		}
		return z.Close()
	}), nil
}

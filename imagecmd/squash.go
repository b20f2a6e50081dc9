package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/internal/piped"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
	"github.com/cfs-project/cfs/layerpack"
)

// SquashOptions says what Squash makes an image of.
type SquashOptions struct {
	Image string
	Name  string // NAME[:TAG]; "" leaves the image nameless
	// From names what stays as it is: an image below, with the same layers at its
	// bottom, or the last one of them, by its diff ID or the beginning of that. "" is
	// nothing.
	From        string
	Message     string // the comment of its history; "" says what it was made of
	Compression layerpack.Compression
	Note        func(path, what string) // told what a layer can't hold
}

// Squash makes an image of which the layers above From are one, without what they
// write over or delete of each other, and prints its ID. The configuration stays;
// in the history the lines of those layers have none any more, and a new one has
// it, as in Docker.
func Squash(ctx context.Context, st *store.Store, o SquashOptions, out io.Writer) error {
	names, err := newName(o.Name)
	if err != nil {
		return err
	}
	image, err := resolveImage(ctx, st, o.Image)
	if err != nil {
		return err
	}
	kept, err := o.keeps(ctx, st, image)
	if err != nil {
		return err
	}
	id, err := o.squash(ctx, st, image, kept, names)
	if err != nil {
		return fmt.Errorf("squash image %s: %w", o.Image, err)
	}
	_, err = fmt.Fprintln(out, id)
	return err
}

// kept is what stays below a squashed layer.
type kept struct {
	layers int           // how many of the image's
	image  digest.Digest // ID of the image that they are; may be empty
}

// keeps finds what From means.
func (o SquashOptions) keeps(ctx context.Context, st *store.Store, image store.Image) (kept, error) {
	if o.From == "" {
		return kept{}, nil
	}
	all := image.Config.RootFS.DiffIDs
	base, err := st.Resolve(ctx, o.From)
	switch {
	case err == nil:
		below := base.Config.RootFS.DiffIDs
		if len(below) >= len(all) || !slices.Equal(below, all[:len(below)]) {
			return kept{}, fmt.Errorf("image %s is not one with layers on top of those of %s", o.Image, o.From)
		}
		return kept{len(below), base.ID}, nil
	case !errors.Is(err, store.ErrNotFound):
		return kept{}, err
	}
	prefix := strings.TrimPrefix(o.From, digest.SHA256.String()+":")
	at := -1
	for i, d := range all {
		if len(prefix) < 4 || !strings.HasPrefix(d.Encoded(), prefix) {
			continue
		}
		if at >= 0 {
			return kept{}, fmt.Errorf("several layers of image %s begin with %s", o.Image, o.From)
		}
		at = i
	}
	switch at {
	case -1:
		return kept{}, fmt.Errorf("%s is neither an image nor a layer of image %s", o.From, o.Image)
	case len(all) - 1:
		return kept{}, fmt.Errorf("image %s has no layer above %s", o.Image, o.From)
	}
	return kept{layers: at + 1}, nil
}

func (o SquashOptions) squash(
	ctx context.Context, st *store.Store, image store.Image, keep kept, names []reference.Named,
) (digest.Digest, error) {
	epoch, err := sourceDateEpoch()
	if err != nil {
		return "", err
	}
	chain, release, err := st.Chain(ctx, image)
	if err != nil {
		return "", err
	}
	defer release()
	in, err := st.Begin(ctx)
	if err != nil {
		return "", err
	}
	defer in.Close()
	n := newImage{Names: names, Parent: keep.image}
	if n.Config, err = readImageConfig(ctx, st, image); err != nil {
		return "", err
	}
	if n.Layers, err = in.Take(ctx, image); err != nil {
		return "", err
	}
	tar := piped.From(func(w io.Writer) error {
		_, err := layerpack.Squash(ctx, w, chain.Layers[keep.layers:], layerpack.WriteOptions{
			Epoch: epoch, Below: chain.Layers[:keep.layers], Note: o.Note,
		})
		return err
	})
	defer tar.Close()
	layer, err := newLayer(ctx, in, tar, o.Compression)
	if err != nil {
		return "", err
	}
	created := timeOr(epoch)
	n.Layers = append(n.Layers[:keep.layers], layer.Descriptor)
	n.Config.Created, n.Config.Comment, n.Config.Container = &created, o.comment(image, keep), ""
	n.Config.RootFS.DiffIDs = append(slices.Clone(n.Config.RootFS.DiffIDs[:keep.layers]), layer.DiffID)
	n.Config.History = squashedHistory(n.Config.History, keep.layers)
	n.Config.History = append(n.Config.History, ocispec.History{Created: &created, Comment: n.Config.Comment})
	return n.put(ctx, in)
}

// squashedHistory says of all but the first layers that they are none any more.
func squashedHistory(lines []ocispec.History, layers int) []ocispec.History {
	lines = slices.Clone(lines)
	for i := range lines {
		if lines[i].EmptyLayer {
			continue
		}
		if layers > 0 {
			layers--
			continue
		}
		lines[i].EmptyLayer = true
	}
	return lines
}

// comment is Docker's of `build --squash`, where the person has none.
func (o SquashOptions) comment(image store.Image, keep kept) string {
	switch {
	case o.Message != "":
		return o.Message
	case keep.layers == 0:
		return "create new from " + image.ID.String()
	case keep.image != "":
		return fmt.Sprintf("merge %s to %s", image.ID, keep.image)
	}
	return fmt.Sprintf("merge %s to %s", image.ID, image.Config.RootFS.DiffIDs[keep.layers-1])
}

package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/distribution/reference"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/hint"
)

// When the image of a new container is pulled.
const (
	PullMissing = "missing" // where it isn't here; the default
	PullAlways  = "always"
	PullNever   = "never"
)

// ParsePull reads Docker's --pull.
func ParsePull(s string) (string, error) {
	switch s {
	case "":
		return PullMissing, nil
	case PullMissing, PullAlways, PullNever:
		return s, nil
	}
	return "", fmt.Errorf("invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"", s)
}

// image is the image of a new container, pulled if that is wanted. What a pull says goes
// to standard error: the other output is the container's.
func (o RunOptions) image(ctx context.Context, st *store.Store) (store.Image, error) {
	if IsHello(o.Image) {
		return resolveImage(ctx, st, o.Image)
	}
	if o.Pull != PullAlways {
		image, err := resolveImage(ctx, st, o.Image)
		if !errors.Is(err, store.ErrNotFound) || o.Pull == PullNever {
			return image, err
		}
		fmt.Fprintf(os.Stderr, "Unable to find image '%s' locally\n", taggedName(o.Image))
	}
	p := PullOptions{Name: taggedName(o.Image), Nameless: true, Registry: o.Registry}
	out := io.Writer(os.Stderr)
	if o.Quiet {
		out = io.Discard
	}
	if err := Pull(ctx, st, p, out); err != nil {
		if hint.Of(err) == "" {
			err = hint.With(err, "cfs images lists what is here; cfs load and cfs import bring more")
		}
		return store.Image{}, err
	}
	return resolveImage(ctx, st, o.Image)
}

// taggedName is a name with its tag, as people write it.
func taggedName(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(reference.TagNameOnly(ref))
}

package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/internal/reference"
)

// When an image is pulled that a container is to be made of.
const (
	PullMissing = "missing" // it isn't here
	PullAlways  = "always"
	PullNever   = "never"
)

// ImageSource says where the image of a new container comes from.
type ImageSource struct {
	Pull     string            // one of the constants; empty: missing
	Platform *ocispec.Platform // which image of several; nil is the store's
	Quiet    bool              // don't show how a pull goes on
	Registry RegistryOptions   //
}

// Check refuses what is none of the constants.
func (o ImageSource) Check() error {
	switch o.Pull {
	case "", PullMissing, PullAlways, PullNever:
		return nil
	}
	return fmt.Errorf("invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"", o.Pull)
}

// image finds the image of a new container, which is pulled as asked for.
func (o ImageSource) image(ctx context.Context, st *store.Store, name string) (store.Image, error) {
	if name == "" {
		return store.Image{}, reference.ErrInvalidFormat
	}
	if IsHello(name) {
		return Hello(ctx, st)
	}
	if o.Platform != nil {
		var err error
		if st, err = store.Open(st.Root(), store.Options{Platform: o.Platform}); err != nil {
			return store.Image{}, err
		}
	}
	if o.Pull == PullAlways {
		if err := o.pull(ctx, st, name); err != nil {
			return store.Image{}, err
		}
	}
	img, err := o.here(ctx, st, name)
	if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrPlatform) {
		return img, err
	}
	switch o.Pull {
	case PullNever:
		return img, hint.With(err, "cfs images lists what is there; cfs load and cfs import bring more")
	case PullAlways:
		return img, err
	}
	o.Registry.say("Unable to find image '%s' locally", taggedName(name))
	if err := o.pull(ctx, st, name); err != nil {
		return img, err
	}
	return o.here(ctx, st, name)
}

// here finds an image that is here, and for the platform, if one is asked for.
func (o ImageSource) here(ctx context.Context, st *store.Store, name string) (store.Image, error) {
	return resolveFor(ctx, st, name, o.Platform)
}

// pull shows what it does where the person's talk is: the output is the container's.
func (o ImageSource) pull(ctx context.Context, st *store.Store, name string) error {
	var out io.Writer = io.Discard
	if !o.Quiet {
		out = os.Stderr
	}
	err := Pull(ctx, st, PullOptions{Name: taggedName(name), Nameless: true, Platform: o.Platform, Registry: o.Registry}, out)
	if err != nil && hint.Of(err) == "" {
		err = hint.With(err, "cfs images lists what is here; cfs load and cfs import bring more")
	}
	return err
}

// taggedName is a name with its tag, as people write it.
func taggedName(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(reference.TagNameOnly(ref))
}

package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cfs-project/cfs/imagecmd/buildcontext"
	"github.com/cfs-project/cfs/imagecmd/dockerfile"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// baseImage is the image that a FROM, or another instruction of s, names. One that is not
// here, or for another platform than is asked for, is pulled, and with --pull every one that has a name.
func (b *builder) baseImage(ctx context.Context, s *stageBuild, src dockerfile.Source) (store.Image, error) {
	name := src.Image
	if src.Context != "" {
		scheme, rest, isImage := buildcontext.ImageOf(b.contextValue(src.Context))
		switch {
		case !isImage:
			return store.Image{}, fmt.Errorf("build context %q is no image", src.Context)
		case scheme == "oci-layout":
			return b.layoutImage(ctx, s, rest)
		}
		name = rest
	}
	if IsHello(name) {
		return Hello(ctx, s.st)
	}
	if _, err := reference.ParseAnyReference(name); err != nil {
		return store.Image{}, fmt.Errorf("failed to parse stage name %q: %w", name, err) // BuildKit's words
	}
	platform := s.st.Platform()
	var want ImageSource
	if b.o.Platform != nil || s.s.Platform != "" {
		want.Platform = &platform
	}
	img, wrong := want.here(ctx, s.st, name)
	switch {
	case wrong == nil && !b.o.Pull, img.ID != "" && isImageID(img, name):
		return img, wrong
	case wrong != nil && !errors.Is(wrong, store.ErrNotFound) && !errors.Is(wrong, store.ErrPlatform):
		return img, wrong
	}
	err := Pull(ctx, s.st, PullOptions{Name: name, Platform: &platform, MaxExpansion: b.o.MaxExpansion, Registry: b.o.Registry}, s.out)
	if err != nil {
		if errors.Is(wrong, store.ErrPlatform) { // here is one, for another machine
			err = fmt.Errorf("%w; %w", wrong, err)
		}
		return store.Image{}, err
	}
	return want.here(ctx, s.st, name)
}

// isImage tells whether a source is an image, or a stage, and not files alone.
func (b *builder) isImage(src dockerfile.Source) bool {
	if src.Context == "" {
		return true
	}
	_, _, is := buildcontext.ImageOf(b.contextValue(src.Context))
	return is
}

// isImageID tells that an image was found by its ID, which no registry knows.
func isImageID(img store.Image, name string) bool {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return true
	}
	name = reference.FamiliarString(reference.TagNameOnly(ref))
	return !slices.Contains(img.Names, name) && !slices.Contains(img.Digests, name)
}

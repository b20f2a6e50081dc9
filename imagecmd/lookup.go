package imagecmd

import (
	"context"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// resolveTagged is [store.Store.Resolve] for the commands whose error names the
// tag that was looked for: "No such image: debian:latest".
func resolveTagged(ctx context.Context, st *store.Store, name string) (store.Image, error) {
	return resolveTaggedFor(ctx, st, name, nil)
}

func resolveTaggedFor(ctx context.Context, st *store.Store, name string, p *ocispec.Platform) (store.Image, error) {
	img, err := resolveFor(ctx, st, name, p)
	if errors.Is(err, store.ErrNotFound) {
		err = tagMissing(name, err)
	}
	return img, err
}

// resolveFor is [store.Store.Resolve] for the image of a platform, out of those of several;
// nil is the store's.
func resolveFor(ctx context.Context, st *store.Store, name string, p *ocispec.Platform) (store.Image, error) {
	if p == nil {
		return st.Resolve(ctx, name)
	}
	st, err := store.Open(st.Root(), store.Options{Platform: p})
	if err != nil {
		return store.Image{}, err
	}
	img, err := st.Resolve(ctx, name)
	if err == nil {
		err = img.For(*p)
	}
	if errors.Is(err, store.ErrPlatform) {
		err = fmt.Errorf("image with reference %s was found but does not provide the specified platform: %w", name, err)
	}
	return img, err
}

func tagMissing(name string, err error) error {
	ref, parseErr := reference.ParseAnyReference(name)
	if parseErr != nil {
		return err
	}
	if named, ok := ref.(reference.Named); ok {
		ref = reference.TagNameOnly(named)
	}
	return sentencef(err, "No such image: %s", reference.FamiliarString(ref))
}

// sentence is an error in Docker's words.
type sentence struct {
	text string
	err  error
}

func (e *sentence) Error() string { return e.text }
func (e *sentence) Unwrap() error { return e.err }

// sentencef says err, which may be nil, in Docker's words.
func sentencef(err error, f string, args ...any) error {
	return &sentence{fmt.Sprintf(f, args...), err}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/internal/reference"
)

// Tag gives the image that [Store.Resolve] finds by name one more name, ref,
// its tag "latest" when it has none. An image that had it loses it and stays,
// nameless if it was the last. A name is never a digest.
func (s *Store) Tag(ctx context.Context, name string, ref reference.Named) error {
	ref = reference.TagNameOnly(ref)
	if _, ok := ref.(reference.Canonical); ok {
		return errors.New("refusing to create a tag with a digest reference")
	}
	if reference.FamiliarName(ref) == string(digest.Canonical) {
		return errors.New("refusing to create an ambiguous tag using digest algorithm as name")
	}
	// Not in an empty store: it must not be made to say that something is missing.
	if _, err := s.Resolve(ctx, name); err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	err := s.locked(ctx, func(x *index, write func() error) error {
		img, err := s.find(ctx, x, name)
		if err != nil {
			return err
		}
		x.claim(WithTagTime(img.Target, time.Now()), ref)
		return write()
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("tag image %s: %w", name, err)
	}
	return err
}

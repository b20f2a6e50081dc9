package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/internal/reference"
)

// Resolve finds an image as Docker does: a whole ID; a name, its tag "latest"
// when it has none; a name with the digest it was pulled by or that its
// manifest has; the beginning of an ID, with or without "sha256:". The answer
// is ErrNotFound, or ErrAmbiguous when several IDs begin so. An image that was
// found by its name is read alone: names that it has through another target
// (another compression of its layers) only Images knows.
func (s *Store) Resolve(ctx context.Context, name string) (Image, error) {
	for {
		raw, err := s.rawIndex()
		if err != nil {
			return Image{}, fmt.Errorf("find image %s: %w", name, err)
		}
		if near, ok := linesAbout(raw, name); ok {
			if img, ok := s.findNear(ctx, near, name); ok {
				return img, nil
			}
		}
		x, err := s.parseIndex(raw)
		if err != nil {
			return Image{}, fmt.Errorf("find image %s: %w", name, err)
		}
		img, err := s.find(ctx, x, name)
		if !errors.Is(err, errRemoved) || ctx.Err() != nil {
			return img, err
		}
	}
}

// errRemoved is find's answer when somebody has removed the image since the index
// was read: the name may be another's now.
var errRemoved = errors.New("removed while it was read")

// findNear finds the image that has the name, among the lines of its target.
func (s *Store) findNear(ctx context.Context, x *index, name string) (Image, bool) {
	near := x.withName(name)
	if near == nil {
		return Image{}, false
	}
	images, err := s.imagesOf(ctx, near)
	if err != nil {
		return Image{}, false
	}
	img, found, err := resolve(images, name)
	return img, err == nil && found != nil
}

// find is Resolve in an index that was read.
func (s *Store) find(ctx context.Context, x *index, name string) (Image, error) {
	if img, ok := s.findNear(ctx, x, name); ok {
		return img, nil
	}
	images, broken := s.summaries(ctx, x)
	img, _, err := resolve(images, name)
	if err != nil {
		if broken != nil {
			return Image{}, fmt.Errorf("%w (and of the store's images some can't be read: %w)", err, broken)
		}
		return Image{}, err
	}
	target := []ocispec.Descriptor{img.Target}
	read, err := s.readTargets(ctx, target)
	if err != nil {
		return Image{}, err
	}
	r := read[img.Target.Digest]
	if errors.Is(r.err, fs.ErrNotExist) && s.gone(line{Descriptor: img.Target}) {
		return Image{}, fmt.Errorf("image %s: %w", shortID(img.ID), errRemoved)
	}
	if r.err != nil {
		return Image{}, fmt.Errorf("image %s: %w", shortID(img.ID), r.err)
	}
	r.img.Summary = img.Summary
	return *r.img, nil
}

// withName is the part of an index that is of the target with that name; nil
// when there is none.
func (x *index) withName(name string) *index {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil
	}
	full := reference.TagNameOnly(ref).String()
	names := x.names()
	for i, n := range names {
		if n == nil || n.String() != full {
			continue
		}
		near := &index{}
		for j, l := range x.Manifests {
			// Lines whose name another target has do not count here either.
			if l.Digest == x.Manifests[i].Digest && (names[j] != nil || l.name() == nil) {
				near.Manifests = append(near.Manifests, l)
			}
		}
		return near
	}
	return nil
}

// resolve is Resolve on a list. The name it returns is set when the image was
// found by it, and not by its ID.
func resolve(images []Image, name string) (Image, reference.Named, error) {
	if name == "" {
		return Image{}, nil, notFoundError(name)
	}
	ref, err := reference.ParseAnyReference(name)
	if err != nil {
		return Image{}, nil, err
	}
	named, ok := ref.(reference.Named)
	if !ok {
		d, ok := ref.(reference.Digested)
		if !ok {
			return Image{}, nil, notFoundError(name)
		}
		for _, img := range images {
			if img.ID == d.Digest() {
				return img, nil, nil
			}
		}
		return Image{}, nil, notFoundError(name)
	}
	named = reference.TagNameOnly(named)
	if img, ok := byName(images, named); ok {
		return img, named, nil
	}
	img, err := byPrefix(images, name)
	return img, nil, err
}

func byName(images []Image, named reference.Named) (Image, bool) {
	familiar := reference.FamiliarString(named)
	canonical, digested := named.(reference.Canonical)
	for _, img := range images {
		list := img.Names
		if digested {
			list = img.Digests
		}
		for _, n := range list {
			if n == familiar {
				return img, true
			}
		}
	}
	if !digested {
		return Image{}, false
	}
	// A digest names exactly one manifest, whatever tag stands beside it.
	for _, img := range images {
		if img.Manifest.Digest != canonical.Digest() && img.Target.Digest != canonical.Digest() {
			continue
		}
		for _, n := range append(img.Names, img.Digests...) {
			if r, err := reference.ParseNormalizedNamed(n); err == nil && r.Name() == named.Name() {
				return img, true
			}
		}
	}
	return Image{}, false
}

func byPrefix(images []Image, prefix string) (Image, error) {
	var found []Image
	for _, img := range images {
		if isIDPrefix(img.ID, prefix) {
			found = append(found, img)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Image{}, notFoundError(prefix)
	}
	return Image{}, &ambiguous{prefix}
}

// isIDPrefix tells whether s is the beginning of an ID, with its algorithm or
// without. One character is enough, as for Docker.
func isIDPrefix(id digest.Digest, s string) bool {
	if s == "" {
		return false
	}
	if strings.HasPrefix(id.Encoded(), s) {
		return true
	}
	rest, ok := strings.CutPrefix(s, id.Algorithm().String()+":")
	return ok && rest != "" && strings.HasPrefix(id.Encoded(), rest)
}

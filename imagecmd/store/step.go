package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// AnnotationStep is where a line of index.json keeps the keys of the steps of builds
// that made its image, with spaces between them. A key is a digest of all that a step
// depends on, its parent's ID among it. As the line is the image, neither is ever
// without the other: what a build finds is there, and what is removed is not found.
const AnnotationStep = "io.github.cfs-project.image.step"

// WithStep is a target for [Ingest.Commit] whose image a step of a build made.
func WithStep(target ocispec.Descriptor, key digest.Digest) ocispec.Descriptor {
	return withSteps(target, append(stepsOf(target), key))
}

func withSteps(target ocispec.Descriptor, keys []digest.Digest) ocispec.Descriptor {
	a := map[string]string{}
	for k, v := range target.Annotations {
		a[k] = v
	}
	slices.Sort(keys)
	var words []string
	for _, k := range slices.Compact(keys) {
		words = append(words, string(k))
	}
	if delete(a, AnnotationStep); len(words) > 0 {
		a[AnnotationStep] = strings.Join(words, " ")
	}
	target.Annotations = a
	return target
}

func stepsOf(d ocispec.Descriptor) []digest.Digest {
	var keys []digest.Digest
	for w := range strings.FieldsSeq(d.Annotations[AnnotationStep]) {
		if k := digest.Digest(w); checkDigest(k) == nil {
			keys = append(keys, k)
		}
	}
	return keys
}

// shareSteps gives every line of a target the keys that any of them has, and those of
// the target itself, so that they outlive any of its names.
func (x *index) shareSteps(target ocispec.Descriptor) {
	keys := stepsOf(target)
	for _, l := range x.Manifests {
		if l.Digest == target.Digest {
			keys = append(keys, stepsOf(l.Descriptor)...)
		}
	}
	if len(keys) == 0 {
		return
	}
	for i, l := range x.Manifests {
		if l.Digest != target.Digest {
			continue
		}
		if d := withSteps(l.Descriptor, slices.Clone(keys)); d.Annotations[AnnotationStep] != l.Annotations[AnnotationStep] {
			x.Manifests[i] = line{Descriptor: d}
		}
	}
}

// Steps are the targets that steps of builds made, by the steps' keys. Where
// several have one key the newest line counts.
func (s *Store) Steps(ctx context.Context) (map[digest.Digest]ocispec.Descriptor, error) {
	x, err := s.scanIndex()
	if err != nil {
		return nil, fmt.Errorf("find steps of builds: %w", err)
	}
	out := map[digest.Digest]ocispec.Descriptor{}
	for _, l := range x.Manifests {
		for _, k := range stepsOf(l.Descriptor) {
			out[k] = l.Descriptor
		}
	}
	return out, nil
}

// Image reads the image of a target alone: its names and children only Images
// knows. It fails with ErrNotFound if it was removed.
func (s *Store) Image(ctx context.Context, target ocispec.Descriptor) (Image, error) {
	m, err := ReadTarget(ctx, s, target, s.platform)
	if errors.Is(err, fs.ErrNotExist) {
		return Image{}, notFoundError(string(target.Digest))
	}
	if err != nil {
		return Image{}, fmt.Errorf("image %s: %w", target.Digest, err)
	}
	img := s.newImage(target, m)
	img.Parent = parentOf(target)
	return *img, nil
}

// ForgetSteps takes the keys from all lines, so that no build finds what was built
// before. It tells how many steps are forgotten.
func (s *Store) ForgetSteps(ctx context.Context) (n int, err error) {
	if x, err := s.scanIndex(); err != nil || len(x.Manifests) == 0 {
		return 0, err
	}
	err = s.locked(ctx, func(x *index, write func() error) error {
		seen := map[digest.Digest]bool{}
		for i, l := range x.Manifests {
			if l.Annotations[AnnotationStep] == "" {
				continue
			}
			for _, k := range stepsOf(l.Descriptor) {
				seen[k] = true
			}
			x.Manifests[i] = line{Descriptor: withSteps(l.Descriptor, nil)}
		}
		if n = len(seen); n == 0 {
			return nil
		}
		return write()
	})
	return n, err
}

// ClaimStep makes this process the only one that does the step of that key, and
// waits while another does. Who had to wait looks for what the other made.
func (s *Store) ClaimStep(ctx context.Context, key digest.Digest) (release func(), err error) {
	if err := checkDigest(key); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	t, err := s.claimDir(ctx, "step-"+key.Encoded())
	if err != nil {
		return nil, fmt.Errorf("step %s: %w", shortID(key), err)
	}
	return t.discard, nil
}

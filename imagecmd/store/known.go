package store

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/internal/reference"
)

// A KnownLayer is a layer as one image of the store has it.
type KnownLayer struct {
	DiffID digest.Digest
	Blob   ocispec.Descriptor
	// Name is one of the image's; nil when it has none. One with a digest is of
	// an image that the repository has, or had.
	Name reference.Named
}

// KnownLayers lists the layers of all images, under each of their names, in no
// order. Images that can't be read are left out.
func (s *Store) KnownLayers(ctx context.Context) ([]KnownLayer, error) {
	x, err := s.readIndex()
	if err != nil {
		return nil, fmt.Errorf("list layers: %w", err)
	}
	read, err := s.readTargets(ctx, x.targets())
	if err != nil {
		return nil, err
	}
	var out []KnownLayer
	for i, name := range x.names() {
		r := read[x.Manifests[i].Digest]
		if r.err != nil {
			continue
		}
		for j, d := range r.img.Layers {
			out = append(out, KnownLayer{r.img.Config.RootFS.DiffIDs[j], d, name})
		}
	}
	return out, nil
}

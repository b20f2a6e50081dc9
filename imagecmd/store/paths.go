package store

import (
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"github.com/cfs-project/cfs/cow"
)

// ChainIDs are the chain IDs of an image's layers, bottom first: what the image
// shares with others are the first of them (OCI image spec, "Layer ChainID").
func (img Image) ChainIDs() []digest.Digest {
	return identity.ChainIDs(slices.Clone(img.Config.RootFS.DiffIDs))
}

// ChainPaths is where a chain's layers and merged index are, or will be once
// [Store.Chain] has made them. Nothing is read, made or leased.
func (s *Store) ChainPaths(diffIDs []digest.Digest) cow.Chain {
	var c cow.Chain
	if len(diffIDs) > 0 {
		c.ID = identity.ChainID(diffIDs)
	}
	for _, d := range diffIDs {
		c.Layers = append(c.Layers, cow.Layer{DiffID: d, Dir: s.layerPath(d)})
	}
	c.Index = s.chainPath(c.ID)
	return c
}

// ChainSize is the bytes of the files in the layers of a chain, all of them packed.
func (s *Store) ChainSize(diffIDs []digest.Digest) (int64, error) {
	var n int64
	for _, d := range diffIDs {
		info, err := s.readLayerInfo(d)
		if err != nil {
			return 0, err
		}
		n += info.Size
	}
	return n, nil
}

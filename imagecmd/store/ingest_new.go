package store

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
)

// Take leases what an image that is being made shares with one that is here: its
// blobs, which are returned as layers of an OCI manifest.
func (in *Ingest) Take(ctx context.Context, img Image) ([]ocispec.Descriptor, error) {
	layers := make([]ocispec.Descriptor, len(img.Layers))
	for i, d := range img.Layers {
		have, err := in.HasBlob(ctx, d)
		if err == nil && !have {
			err = fmt.Errorf("image %s: blob %s is not here", shortID(img.ID), d.Digest)
		}
		if err != nil {
			return nil, err
		}
		layers[i] = ocispec.Descriptor{MediaType: ociLayerType(d.MediaType), Digest: d.Digest, Size: d.Size, Annotations: d.Annotations}
	}
	return layers, nil
}

// ociLayerType is the media type by which an OCI manifest has a layer of a
// Docker one.
func ociLayerType(t string) string {
	switch t {
	case dockerLayer:
		return ocispec.MediaTypeImageLayer
	case dockerLayerGzip:
		return ocispec.MediaTypeImageLayerGzip
	case dockerLayerZstd:
		return ocispec.MediaTypeImageLayerZstd
	}
	return t
}

// ChainOf is [Store.Chain] for layers, by their diff IDs, whose image may be
// gone, as those of a container. They must be here and packed.
func (s *Store) ChainOf(ctx context.Context, diffIDs []digest.Digest) (chain cow.Chain, release func(), err error) {
	if err := s.prepareForChain(ctx); err != nil {
		return cow.Chain{}, nil, err
	}
	in := &Ingest{s: s}
	layers := make([]ocispec.Descriptor, len(diffIDs))
	for i, d := range diffIDs {
		layers[i] = ocispec.Descriptor{Digest: d, Size: -1}
	}
	if chain, err = s.chain(ctx, in, diffIDs, layers); err != nil {
		in.Close()
		return cow.Chain{}, nil, err
	}
	return chain, sync.OnceFunc(in.Close), nil
}

// ScratchChain is the chain of one layer that no image will have, until discard. It closes tar.
func (s *Store) ScratchChain(ctx context.Context, tar io.ReadCloser) (c cow.Chain, discard func(), err error) {
	defer tar.Close()
	l, discard, err := s.Scratch(ctx, tar)
	if err != nil {
		return c, nil, err
	}
	c = cow.Chain{ID: chainID([]digest.Digest{l.DiffID}), Layers: []cow.Layer{l}, Index: filepath.Join(l.Dir, "index")}
	if err := layerpack.BuildIndex(ctx, c.Index, c.Layers); err != nil {
		discard()
		return c, nil, err
	}
	return c, discard, nil
}

// TempDir is a directory below tmp/ that goes with this process, or by discard.
func (s *Store) TempDir(ctx context.Context, prefix string) (dir string, discard func(), err error) {
	if err := s.prepare(ctx); err != nil {
		return "", nil, err
	}
	t, err := s.tempDir(prefix)
	if err != nil {
		return "", nil, err
	}
	return t.path, t.discard, nil
}

// Scratch packs a layer that no image will have, for as long as it is needed:
// until discard.
func (s *Store) Scratch(ctx context.Context, tar io.Reader) (l cow.Layer, discard func(), err error) {
	if err := s.prepare(ctx); err != nil {
		return cow.Layer{}, nil, err
	}
	t, err := s.tempDir("scratch")
	if err != nil {
		return cow.Layer{}, nil, err
	}
	p, err := layerpack.Pack(ctx, tar, t.path, layerpack.PackOptions{MaxExpansion: -1})
	if err != nil {
		t.discard()
		return cow.Layer{}, nil, err
	}
	return cow.Layer{DiffID: p.DiffID, Dir: t.path}, t.discard, nil
}

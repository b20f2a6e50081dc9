package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/internal/parallel"
	"github.com/cfs-project/cfs/internal/durable"
	"github.com/cfs-project/cfs/layerpack"
)

// packers is how many layers are unpacked at once.
const packers = 2

// Chain returns what a driver mounts of an image: its layers and their merged
// index, made of the blobs where they are not there. Until release, which may be
// called more than once, neither they nor the image can be removed, by any
// process. ErrPlatform: the image is for machines of another kind.
func (s *Store) Chain(ctx context.Context, img Image) (chain cow.Chain, release func(), err error) {
	if img.mismatch != nil {
		return cow.Chain{}, nil, img.mismatch
	}
	if err := s.prepareForChain(ctx); err != nil {
		return cow.Chain{}, nil, err
	}
	in := &Ingest{s: s}
	defer func() {
		if err != nil {
			in.Close()
		}
	}()
	if chain, err = in.Use(ctx, img); err != nil {
		return cow.Chain{}, nil, err
	}
	return chain, sync.OnceFunc(in.Close), nil
}

// Use is [Store.Chain] until the Ingest is closed, whatever machines the image is for.
func (in *Ingest) Use(ctx context.Context, img Image) (cow.Chain, error) {
	chain, err := in.Chain(ctx, img.Config, img.Layers)
	if err == nil {
		err = in.stays(ctx, img)
	}
	if errors.Is(err, fs.ErrNotExist) {
		// Something is missing: perhaps the image was removed since it was resolved.
		if _, gone := in.s.Resolve(ctx, string(img.ID)); errors.Is(gone, ErrNotFound) {
			err = gone
		}
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return cow.Chain{}, err
	case err != nil:
		return cow.Chain{}, damagedHint(fmt.Errorf("image %s: %w", shortID(img.ID), err))
	}
	return chain, nil
}

// stays leases the config of an image whose chain is leased, by which a removal knows
// of several images with one chain whose it is, and makes sure that none was faster: one
// that had not seen the leases has written the index when it can be locked.
func (in *Ingest) stays(ctx context.Context, img Image) error {
	f, err := in.s.leaseBlob(ctx, img.ID, -1)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	in.hold(f)
	dir, err := openObject(in.s.LayoutDir())
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := flockWait(ctx, dir, unix.LOCK_SH); err != nil {
		return fmt.Errorf("lock the image index: %w", err)
	}
	if !in.s.gone(line{Descriptor: img.Target}) {
		return nil
	}
	_, err = in.s.Resolve(ctx, string(img.ID)) // it may be there in another compression
	return err
}

// Chain is the chain of an image that is being brought in, made and leased. An
// image whose layers don't fit together shows here, before it is one.
func (in *Ingest) Chain(ctx context.Context, config ocispec.Image, layers []ocispec.Descriptor) (cow.Chain, error) {
	return in.s.chain(ctx, in, config.RootFS.DiffIDs, layers)
}

// prepareForChain is prepare where the store may be read-only, as it may be
// when everything is there.
func (s *Store) prepareForChain(ctx context.Context) error {
	err := s.prepare(ctx)
	if errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// chain leases the layers of a chain and its merged index. Where that must be made
// and a table of contents turns out to be damaged, all of them are read and mended.
func (s *Store) chain(ctx context.Context, in *Ingest, diffIDs []digest.Digest, layers []ocispec.Descriptor) (cow.Chain, error) {
	if len(diffIDs) != len(layers) {
		return cow.Chain{}, fmt.Errorf("%w: %d diff_ids for %d layers", ErrInvalid, len(diffIDs), len(layers))
	}
	first := &Ingest{s: s}
	chain, err := s.leaseChain(ctx, first, diffIDs, layers, nil)
	if err == nil {
		for _, f := range first.leases {
			in.hold(f)
		}
		return chain, nil
	}
	first.Close() // a layer that we hold ourselves can't be taken away
	if !errors.Is(err, layerpack.ErrCorrupt) {
		return chain, err
	}
	return s.leaseChain(ctx, in, diffIDs, layers, layerpack.CheckTOC)
}

func (s *Store) leaseChain(ctx context.Context, in *Ingest, diffIDs []digest.Digest, layers []ocispec.Descriptor, good func(cow.Layer) error) (cow.Chain, error) {
	chain := cow.Chain{ID: chainID(diffIDs), Layers: make([]cow.Layer, len(diffIDs))}
	err := parallel.Do(ctx, packers, len(diffIDs), func(ctx context.Context, i int) error {
		chain.Layers[i] = s.layer(diffIDs[i])
		f, err := s.leaseLayer(ctx, diffIDs[i], good)
		if err == nil {
			in.hold(f)
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l := layers[i]
		_, err = in.Layer(ctx, LayerSource{DiffID: diffIDs[i], Blob: l.Digest, Size: l.Size, Open: noBlob(l.Digest)})
		return err
	})
	if err != nil {
		return cow.Chain{}, err
	}
	f, err := s.leaseIndex(ctx, chain)
	if err != nil {
		return cow.Chain{}, fmt.Errorf("merged index: %w", err)
	}
	in.hold(f)
	chain.Index = s.chainPath(chain.ID)
	return chain, nil
}

// leaseIndex leases the merged index of a chain and makes it where it is
// missing or not that chain's.
func (s *Store) leaseIndex(ctx context.Context, chain cow.Chain) (*os.File, error) {
	path := s.chainPath(chain.ID)
	for {
		f, err := lease(ctx, path)
		if err == nil {
			err = checkIndex(path, chain)
			if err == nil {
				return f, nil
			}
			f.Close()
			if !errors.Is(err, layerpack.ErrCorrupt) {
				return nil, err
			}
			took, serr := seize(path)
			if serr != nil {
				return nil, serr
			}
			if took == nil {
				return nil, fmt.Errorf("%w, and it is in use", err)
			}
			if err := s.trash(took, path); err != nil {
				return nil, err
			}
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := s.buildIndex(ctx, chain, path); err != nil {
			return nil, err
		}
	}
}

// buildIndex makes a merged index unless another builder is faster.
func (s *Store) buildIndex(ctx context.Context, chain cow.Chain, path string) error {
	t, err := s.claimDir(ctx, "index-"+filepath.Base(path))
	if err != nil {
		return err
	}
	defer t.discard()
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	built := filepath.Join(t.path, "index")
	if err := layerpack.BuildIndex(ctx, built, chain.Layers); err != nil {
		return err
	}
	if err := checkIndex(built, chain); err != nil {
		return err
	}
	if err := renameNew(built, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// checkIndex holds an index against the chain it is for.
func checkIndex(path string, chain cow.Chain) error {
	x, err := layerpack.OpenIndex(path)
	if err != nil {
		return err
	}
	defer x.Close()
	var want []digest.Digest
	for _, l := range chain.Layers {
		want = append(want, l.DiffID)
	}
	if !slices.Equal(x.Layers(), want) {
		return fmt.Errorf("%s: %w: it is of other layers", path, layerpack.ErrCorrupt)
	}
	return nil
}

// chainID is the identity of a chain; "" of one without layers.
func chainID(diffIDs []digest.Digest) digest.Digest {
	if len(diffIDs) == 0 {
		return ""
	}
	return identity.ChainID(diffIDs)
}

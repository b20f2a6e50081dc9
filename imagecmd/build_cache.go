package imagecmd

import (
	"context"
	"errors"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// A stepCache is the steps that builds have done, as the store's index told when it
// was read last.
type stepCache struct {
	st  *store.Store
	off bool // --no-cache: only what this build itself has done is found

	mu    sync.Mutex
	steps map[digest.Digest]ocispec.Descriptor
}

func openStepCache(ctx context.Context, b *builder) (*stepCache, error) {
	c := &stepCache{st: b.st, off: b.o.NoCache, steps: map[digest.Digest]ocispec.Descriptor{}}
	return c, c.refresh(ctx)
}

// refresh reads what others have done meanwhile.
func (c *stepCache) refresh(ctx context.Context) error {
	if c.off {
		return nil
	}
	steps, err := c.st.Steps(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.steps = steps
	return nil
}

func (c *stepCache) add(key digest.Digest, target ocispec.Descriptor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.steps[key] = target
}

// find is the image of a step, if it has been done and is still here, and what keeps it
// here; nil if it is not.
func (c *stepCache) find(ctx context.Context, st *store.Store, key digest.Digest) (store.Image, *store.Ingest, error) {
	c.mu.Lock()
	target, ok := c.steps[key]
	c.mu.Unlock()
	if !ok {
		return store.Image{}, nil, nil
	}
	img, err := st.Image(ctx, target)
	var hold *store.Ingest
	if err == nil {
		hold, err = holdImage(ctx, st, img)
	}
	if errors.Is(err, store.ErrNotFound) {
		return store.Image{}, nil, nil // it was removed since
	}
	return img, hold, err
}

// holdImage keeps an image from being removed until the hold is closed.
func holdImage(ctx context.Context, st *store.Store, img store.Image) (*store.Ingest, error) {
	in, err := st.Begin(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := in.Use(ctx, img); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/internal/parallel"
	"github.com/cfs-project/cfs/layerpack"
)

// checkIndexes holds the merged indexes against their layers, after those have
// been repaired.
func (c *checker) checkIndexes(ctx context.Context) error {
	entries, err := os.ReadDir(c.s.images())
	if err != nil {
		return ignoreMissing(err)
	}
	type found struct {
		name string
		hits []Hit
	}
	var list []*found
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), indexSuffix) {
			list = append(list, &found{name: e.Name()})
		}
	}
	c.sum.Indexes = len(list)
	err = parallel.Do(ctx, runtime.GOMAXPROCS(0), len(list), func(ctx context.Context, i int) (err error) {
		list[i].hits, err = c.checkIndex(ctx, list[i].name)
		return err
	})
	if err != nil {
		return err
	}
	for _, f := range list {
		if len(f.hits) == 0 {
			continue
		}
		if err := c.judgeIndex(ctx, f.name, f.hits); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) checkIndex(ctx context.Context, name string) ([]Hit, error) {
	path := filepath.Join(c.s.images(), name)
	f, err := lease(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	x, err := layerpack.OpenIndex(path)
	if err != nil {
		return hits(err.Error()), nil
	}
	diffIDs := slices.Clone(x.Layers())
	x.Close()
	if name != filepath.Base(c.s.chainPath(chainID(diffIDs))) {
		return hits("it is of other layers"), nil
	}
	chain := cow.Chain{Index: path}
	for _, d := range diffIDs {
		chain.Layers = append(chain.Layers, c.s.layer(d))
		l, err := lease(ctx, c.s.layerPath(d))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil // with nothing to compare it with; its layers are packed again where they are needed
		}
		if err != nil {
			return nil, err
		}
		defer l.Close()
	}
	var out []Hit
	err = layerpack.VerifyIndex(ctx, chain, func(d layerpack.Damage) { out = append(out, Hit{Reason: d.Reason}) })
	if isDamage(err) {
		return nil, nil // a layer's damage, which is told
	}
	return out, err
}

// judgeIndex handles a damaged merged index.
func (c *checker) judgeIndex(ctx context.Context, name string, wrong []Hit) error {
	path := filepath.Join(c.s.images(), name)
	f := Fault{Object: "merged index " + strings.TrimSuffix(name, indexSuffix), Hits: wrong}
	r := remedy{func(context.Context) error { return c.drop(path) }, "removed, as no image needs it"}
	if need := c.refs.chains[name]; need != nil {
		f.Images = need.images
		r = remedy{func(ctx context.Context) error {
			if err := c.drop(path); err != nil {
				return err
			}
			return c.rebuildChain(ctx, path, need.diffIDs)
		}, "made again from its layers"}
	}
	return c.fault(ctx, f, r, nil)
}

// rebuildChain makes a merged index again, if its layers are there; if not, it is
// made when they are.
func (c *checker) rebuildChain(ctx context.Context, path string, diffIDs []digest.Digest) error {
	chain := cow.Chain{ID: chainID(diffIDs), Index: path}
	for _, d := range diffIDs {
		l, err := lease(ctx, c.s.layerPath(d))
		if err != nil {
			return ignoreMissing(err)
		}
		defer l.Close()
		chain.Layers = append(chain.Layers, c.s.layer(d))
	}
	return c.s.buildIndex(ctx, chain, path)
}

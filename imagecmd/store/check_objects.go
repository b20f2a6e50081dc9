package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/internal/parallel"
	"github.com/cfs-project/cfs/layerpack"
)

// A layerState is a packed layer as it was found.
type layerState struct {
	tar    []Hit // what is wrong with its tar
	made   []Hit // what is wrong with what is made of the tar
	tarIno inode
	size   int64 // bytes of the tar
	lost   bool  // told, with a blob that is the same file
}

// eachBlob calls fn for every blob by its digest.
func (s *Store) eachBlob(fn func(d digest.Digest, path string) error) error {
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		dir := filepath.Join(s.LayoutDir(), ocispec.ImageBlobsDir, a.String())
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			d := digest.NewDigestFromEncoded(a, e.Name())
			if d.Validate() != nil {
				continue // another program's temporary file
			}
			if err := fn(d, filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// A checkTask is one object that is read from its beginning to its end.
type checkTask struct {
	size int64 // bytes
	run  func(ctx context.Context) error
}

// checkObjects reads every layer, and every blob that is not the same file as a
// layer's tar, on all cores.
func (c *checker) checkObjects(ctx context.Context) error {
	var tasks []checkTask
	entries, err := os.ReadDir(c.s.layers())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	shared := map[inode]digest.Digest{} // tars
	for _, e := range entries {
		d := digest.NewDigestFromEncoded(digest.SHA256, e.Name())
		if d.Validate() != nil {
			continue
		}
		st := &layerState{}
		if fi, err := os.Stat(c.s.layerTar(d)); err == nil {
			st.tarIno, st.size = inodeOf(fi), fi.Size()
			shared[st.tarIno] = d
		}
		c.layers[d] = st
		tasks = append(tasks, checkTask{st.size, func(ctx context.Context) error { return c.checkLayer(ctx, d, st) }})
	}
	var same []digest.Digest // blobs that are tars
	results := map[digest.Digest]*error{}
	err = c.s.eachBlob(func(d digest.Digest, path string) error {
		fi, err := os.Lstat(path)
		if err != nil {
			return ignoreMissing(err)
		}
		if _, ok := shared[inodeOf(fi)]; ok && shared[inodeOf(fi)] == d {
			same = append(same, d)
			return nil
		}
		res := new(error)
		results[d] = res
		tasks = append(tasks, checkTask{fi.Size(), func(ctx context.Context) (err error) {
			*res, err = c.checkBlob(ctx, d, path)
			return err
		}})
		return nil
	})
	if err != nil {
		return err
	}
	// The largest first, so that no core is left alone with one at the end.
	slices.SortFunc(tasks, func(a, b checkTask) int { return int(min(max(b.size-a.size, -1), 1)) })
	for _, t := range tasks {
		c.total += t.size
	}
	err = parallel.Do(ctx, runtime.GOMAXPROCS(0), len(tasks), func(ctx context.Context, i int) error { return tasks[i].run(ctx) })
	if err != nil {
		return err
	}
	for d, st := range c.layers {
		if st.size == removed {
			delete(c.layers, d)
		}
	}
	for d, res := range results {
		if !errors.Is(*res, fs.ErrNotExist) {
			c.blobs[d] = *res
		}
	}
	for _, d := range same {
		if st := c.layers[d]; st != nil && len(st.tar) > 0 {
			c.blobs[d] = errSameFile
		} else {
			c.blobs[d] = nil
		}
	}
	c.sum.Layers, c.sum.Blobs = len(c.layers), len(c.blobs)
	return nil
}

// removed is the size of a layer that went while the store was checked.
const removed = -1

// errSameFile stands for the damage of a layer whose tar a blob is.
var errSameFile = errors.New("it is the same file as the layer's tar")

// checkLayer fills st. What is wrong with a tar is told by the names in it.
func (c *checker) checkLayer(ctx context.Context, d digest.Digest, st *layerState) error {
	f, err := lease(ctx, c.s.layerPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		st.size = removed
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	defer c.read(st.size)
	l := c.s.layer(d)
	err = layerpack.Verify(ctx, l, func(x layerpack.Damage) {
		hit := Hit{x.Path, x.Reason}
		if x.Path == "" {
			hit.Reason = filepath.Base(x.File) + ": " + x.Reason
		}
		if x.File == l.Tar() {
			st.tar = append(st.tar, hit)
		} else {
			st.made = append(st.made, hit)
		}
	})
	if isIO(err) {
		st.tar, err = append(st.tar, Hit{Reason: err.Error()}), nil
	}
	if err != nil || len(st.tar)+len(st.made) > 0 {
		return err
	}
	have, err := c.s.readLayerInfo(d)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		st.made = append(st.made, Hit{Reason: infoName + ": it is missing"})
		return nil
	case err != nil:
		st.made = append(st.made, Hit{Reason: infoName + ": " + err.Error()})
		return nil
	}
	want, err := measureLayer(l)
	if err == nil && have != want {
		st.made = append(st.made, Hit{Reason: infoName + ": it isn't that of the tar"})
	}
	return err
}

// checkBlob tells what is wrong with a blob; fs.ErrNotExist when it went.
func (c *checker) checkBlob(ctx context.Context, d digest.Digest, path string) (wrong, err error) {
	f, err := lease(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return fs.ErrNotExist, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return errors.New("it is not a file"), nil
	}
	have, err := hashReader(ctx, d.Algorithm(), &countingReader{f, c})
	switch {
	case isIO(err):
		return err, nil
	case err != nil:
		return nil, err
	case have != d:
		return fmt.Errorf("its digest is %s", have), nil
	}
	if need := c.refs.blobs[d]; need != nil && need.size != 0 && need.size != fi.Size() {
		return fmt.Errorf("it has %d bytes, and a manifest says %d", fi.Size(), need.size), nil
	}
	return nil, nil
}

// A countingReader tells the checker what was read.
type countingReader struct {
	r io.Reader
	c *checker
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.c.read(int64(n))
	return n, err
}

// wholeBlob tells whether a blob is here as it should be.
func (c *checker) wholeBlob(d digest.Digest) bool {
	wrong, there := c.blobs[d]
	return there && wrong == nil
}

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

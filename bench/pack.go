package bench

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/whiteout"
)

// pack makes the fixture's chain, and the tree that its lowers come to.
func (f *Fixtures) pack(ctx context.Context, x *Fixture) error {
	dir := filepath.Join(f.dir, x.Name+".packed")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var err error
	bottomUp := slices.Clone(x.Lowers)
	slices.Reverse(bottomUp)
	if x.Chain, err = PackDirs(ctx, dir, bottomUp...); err != nil {
		return err
	}
	if x.Merged = x.Lowers[0]; len(x.Lowers) > 1 {
		x.Merged = filepath.Join(dir, "merged")
		err = Merge(ctx, x.Chain, x.Merged)
	}
	return err
}

// Merge writes the tree that a chain comes to into a new directory. What a user
// namespace may not make is left out.
func Merge(ctx context.Context, c cow.Chain, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	_, err := layerpack.ExtractAll(ctx, c.Layers, dir, layerpack.ExtractOptions{Dialect: whiteout.Plain, Rootless: true})
	return err
}

// PackDirs packs directories, bottom first, as the layers of a chain, into dir.
func PackDirs(ctx context.Context, dir string, dirs ...string) (cow.Chain, error) {
	var layers []io.Reader
	for _, d := range dirs {
		r, w := io.Pipe()
		defer r.Close() // ends a writer that nobody reads from
		go func() { w.CloseWithError(WriteDir(ctx, w, dir, d)) }()
		layers = append(layers, r)
	}
	return PackChain(ctx, dir, layers...)
}

// WriteDir writes a directory as a layer: all of it is new to an empty one, which is
// made in temp meanwhile.
func WriteDir(ctx context.Context, w io.Writer, temp, dir string) (err error) {
	empty, err := os.MkdirTemp(temp, "empty-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(empty)) }()
	base, err := cow.OpenDirBase([]string{empty}, whiteout.Plain)
	if err != nil {
		return err
	}
	defer base.Close()
	_, err = layerpack.WriteLayer(ctx, w, cow.Upper{Dir: dir, Dialect: whiteout.Plain, Base: base}.Diff(), layerpack.WriteOptions{})
	return err
}

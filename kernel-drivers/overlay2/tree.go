package overlay2

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/packed"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/whiteout"
)

// stack is what a chain is mounted from until release: its trees, bottom first,
// locked, or the packed image.
type stack struct {
	dialect whiteout.Dialect
	group   tree.Group
	trees   []tree.Tree
	packed  *os.File // the root of an EROFS mount, attached nowhere; nil: there are trees
	data    dataOnly // where contents of the trees' files are
}

func (s *stack) release() {
	for _, t := range s.trees {
		t.Release()
	}
	if s.packed != nil {
		s.packed.Close()
	}
	s.trees, s.packed = nil, nil
}

func (s *stack) paths() []string {
	if s.packed != nil {
		return []string{sys.ProcPath(int(s.packed.Fd()))}
	}
	var out []string
	for _, t := range s.trees {
		out = append(out, t.Path)
	}
	return out
}

// top is the directory whose attributes are the chain's root's; empty without
// layers.
func (s *stack) top() string {
	if paths := s.paths(); len(paths) > 0 {
		return paths[len(paths)-1]
	}
	return ""
}

// dialect is how trees that this process can use say what is gone.
func dialect() whiteout.Dialect {
	if sys.Privileged() {
		return whiteout.Trusted
	}
	return whiteout.User
}

// stack is the packed image of c where the kernel can mount that, and the trees
// are not there already; else it locks the trees, and extracts those that aren't there.
func (d *Driver) stack(ctx context.Context, c cow.Chain) (*stack, error) {
	group, err := tree.OwnGroup(d.home)
	if err != nil {
		return nil, err
	}
	s := &stack{dialect: dialect(), group: group}
	if err := os.MkdirAll(group.Dir, 0o700); err != nil {
		return nil, err
	}
	if s.data, err = d.dataOnly(group, s.dialect); err != nil {
		return nil, err
	}
	if err := s.data.usable(); err != nil {
		return nil, err
	}
	if d.packable(c) {
		fd, err := packed.Mount(c, 0)
		if err == nil {
			s.packed = os.NewFile(uintptr(fd), c.Index)
			return s, nil
		}
		d.log.Debug("an image can't be mounted packed", "index", c.Index, "error", err)
	}
	merged := s.data.merged(len(c.Layers))
	for i := range c.Layers {
		if i < merged-1 {
			continue
		}
		layers := c.Layers[:i+1]
		id, extract := tree.ChainID(layers), d.extract
		if i == merged-1 {
			id, extract = mergedID(layers), d.extractMerged
		}
		t, err := group.Open(ctx, s.data.id(id), tree.Recipe{Fill: func(temp string) error {
			if err := extract(ctx, s, layers, temp); err != nil || s.data.value == "" {
				return err
			}
			return s.data.store.Share(ctx, temp, s.dialect.Namespace())
		}})
		if err != nil {
			s.release()
			return nil, err
		}
		s.trees = append(s.trees, t)
	}
	return s, nil
}

// extract writes the tree of the last of layers, which stands on the others.
func (d *Driver) extract(ctx context.Context, s *stack, layers []cow.Layer, temp string) error {
	n := len(layers) - 1
	l := layers[n]
	start := time.Now()
	got, err := layerpack.Extract(ctx, l, temp, layerpack.ExtractOptions{
		Below: layers[:n], Dialect: s.dialect, Rootless: s.dialect == whiteout.User,
	})
	if err != nil {
		return err
	}
	d.log.Debug("layer extracted", "layer", l.DiffID, "files", got.Files, "bytes", got.Bytes, "took", time.Since(start))
	tree.LogLeftOut(d.log, got, "layer", l.DiffID)
	return nil
}

// empty is a directory that holds nothing and is told apart by n.
func (s *stack) empty(n int) (string, error) {
	dir := filepath.Join(s.group.Dir, "empty."+strconv.Itoa(n))
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return dir, nil
}

package overlay2

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/whiteout"
)

// tempSuffix is what a tree's name ends with until it is complete.
const tempSuffix = ".tmp"

// A tree is an extracted layer, locked shared.
type tree struct {
	path string
	fd   int // the directory; holds the lock
}

// stack is the trees of a chain, bottom first, locked until release.
type stack struct {
	dialect whiteout.Dialect
	group   string // directory of the trees
	trees   []tree
}

func (s *stack) release() {
	for _, t := range s.trees {
		unix.Close(t.fd)
	}
	s.trees = nil
}

func (s *stack) paths() []string {
	var out []string
	for _, t := range s.trees {
		out = append(out, t.path)
	}
	return out
}

// top is the directory whose attributes are the chain's root's; empty without
// layers.
func (s *stack) top() string {
	if len(s.trees) == 0 {
		return ""
	}
	return s.trees[len(s.trees)-1].path
}

// chainID is the OCI image spec's "Layer ChainID" of the layers, bottom first.
func chainID(layers []cow.Layer) digest.Digest {
	var id digest.Digest
	for i, l := range layers {
		if i == 0 {
			id = l.DiffID
		} else {
			id = digest.FromString(id.String() + " " + l.DiffID.String())
		}
	}
	return id
}

// stack locks the trees of c, and extracts those that aren't there.
func (d *Driver) stack(ctx context.Context, c cow.Chain) (*stack, error) {
	dialect, name, err := group()
	if err != nil {
		return nil, err
	}
	s := &stack{dialect: dialect, group: filepath.Join(d.home, name)}
	if err := os.MkdirAll(s.group, 0o700); err != nil {
		return nil, err
	}
	for i := range c.Layers {
		t, err := d.tree(ctx, s, c.Layers[:i+1])
		if err != nil {
			s.release()
			return nil, err
		}
		s.trees = append(s.trees, t)
	}
	return s, nil
}

// tree opens the tree of the last of layers, which stands on the others.
func (d *Driver) tree(ctx context.Context, s *stack, layers []cow.Layer) (tree, error) {
	id := chainID(layers)
	if err := id.Validate(); err != nil {
		return tree{}, fmt.Errorf("layer %q: %w", layers[len(layers)-1].DiffID, err)
	}
	final := filepath.Join(s.group, id.Encoded())
	for {
		fd, err := openLocked(ctx, final, unix.LOCK_SH)
		if err == nil {
			return tree{path: final, fd: fd}, nil
		}
		if !errors.Is(err, unix.ENOENT) {
			return tree{}, err
		}
		// Whoever extracts locks the directory under its temporary name. The
		// lock belongs to the directory, not the name, so the ones who wait for it
		// find out that it was renamed.
		temp := final + tempSuffix
		if err := os.Mkdir(temp, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return tree{}, err
		}
		fd, err = openLocked(ctx, temp, unix.LOCK_EX)
		if errors.Is(err, unix.ENOENT) {
			continue // another process has finished it
		}
		if err != nil {
			return tree{}, err
		}
		if err := d.extract(ctx, s, layers, temp, final); err != nil {
			unix.Close(fd)
			return tree{}, err
		}
		if err := flock(ctx, fd, unix.LOCK_SH); err != nil {
			unix.Close(fd)
			return tree{}, fmt.Errorf("lock %s: %w", final, err)
		}
		return tree{path: final, fd: fd}, nil
	}
}

// extract fills temp, which the caller has locked, and gives it its name. What
// a killed process left in it goes first.
func (d *Driver) extract(ctx context.Context, s *stack, layers []cow.Layer, temp, final string) error {
	if err := emptyTree(temp); err != nil {
		return err
	}
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
	if got.SkippedOwners+got.SkippedDevices+got.SkippedXattrs > 0 {
		d.log.Info("a layer could not be extracted as it is", "layer", l.DiffID, "owners", got.SkippedOwners,
			"devices", got.SkippedDevices, "xattrs", got.SkippedXattrs)
	}
	if err := os.Rename(temp, final); err != nil {
		return err
	}
	return syncDir(s.group)
}

// empty is a directory that holds nothing and is told apart by n.
func (s *stack) empty(n int) (string, error) {
	dir := filepath.Join(s.group, "empty."+strconv.Itoa(n))
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return dir, nil
}

func syncDir(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

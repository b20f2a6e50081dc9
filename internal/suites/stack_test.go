package suites

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"golang.org/x/sync/errgroup"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
)

// A stack is trees by name, each a snapshot of a driver on those below it.
//
//	home/trees/NAME/   change/  what the driver keeps of it
//	                   root/    where it is mounted
//	home/layers/       what trees have become, by diff ID; and merged, by chain ID
type stack struct {
	home string
	drv  cow.Driver

	mu       sync.Mutex
	trees    map[string]*tree
	removals errgroup.Group
}

type tree struct {
	base  []digest.Digest // of the tree below, bottom first
	layer digest.Digest   // what it has become; empty as long as it may change
	snap  cow.Snapshot
	view  bool
	mount cow.Mount
	users int // of the mount
}

func newStack(home string, drv cow.Driver) (*stack, error) {
	s := &stack{home: home, drv: drv, trees: map[string]*tree{}}
	return s, errors.Join(os.MkdirAll(filepath.Join(home, "trees"), 0o755), os.MkdirAll(filepath.Join(home, "layers"), 0o755))
}

func (s *stack) dir(name string) string          { return filepath.Join(s.home, "trees", name) }
func (s *stack) layerDir(d digest.Digest) string { return filepath.Join(s.home, "layers", d.Encoded()) }

// create makes a tree on another, which becomes a layer; "" is nothing.
func (s *stack) create(ctx context.Context, name, parent string, view bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trees[name] != nil {
		return fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	base, err := s.layers(ctx, parent)
	if err != nil {
		return err
	}
	return s.make(ctx, name, base, view)
}

func (s *stack) make(ctx context.Context, name string, base []digest.Digest, view bool) error {
	chain, err := s.chain(ctx, base)
	if err != nil {
		return err
	}
	t := &tree{base: base, view: view, snap: cow.Snapshot{Base: chain}}
	if err := os.MkdirAll(filepath.Join(s.dir(name), "root"), 0o755); err != nil {
		return err
	}
	if !view {
		t.snap.Dir = filepath.Join(s.dir(name), "change")
		if err := os.Mkdir(t.snap.Dir, 0o755); err != nil {
			return err
		}
		if err := s.drv.Create(ctx, t.snap); err != nil {
			return err
		}
	}
	s.trees[name] = t
	return nil
}

// layers are those of a tree, itself included, which can't change any more then.
func (s *stack) layers(ctx context.Context, name string) ([]digest.Digest, error) {
	if name == "" {
		return nil, nil
	}
	t := s.trees[name]
	if t == nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if t.layer == "" {
		tar := s.diff(ctx, t)
		err := s.become(ctx, t, tar)
		if tar.Close(); err != nil {
			return nil, err
		}
	}
	return append(slices.Clone(t.base), t.layer), nil
}

// diff is what a tree has changed, as a layer.
func (s *stack) diff(ctx context.Context, t *tree) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		_, err := layerpack.WriteLayer(ctx, w, s.drv.Diff(ctx, t.snap), layerpack.WriteOptions{})
		w.CloseWithError(err)
	}()
	return r
}

// become gives a tree a layer in place of its change.
func (s *stack) become(ctx context.Context, t *tree, tar io.Reader) error {
	tmp, err := os.MkdirTemp(filepath.Join(s.home, "layers"), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	packed, err := layerpack.Pack(ctx, tar, tmp, layerpack.PackOptions{})
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, s.layerDir(packed.DiffID)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	t.layer = packed.DiffID
	return nil
}

func (s *stack) chain(ctx context.Context, ids []digest.Digest) (cow.Chain, error) {
	c := cow.Chain{ID: identity.ChainID(ids)}
	for _, d := range ids {
		c.Layers = append(c.Layers, cow.Layer{DiffID: d, Dir: s.layerDir(d)})
	}
	if c.Index = filepath.Join(s.home, "layers", "empty.erofs"); len(ids) > 0 {
		c.Index = filepath.Join(s.home, "layers", c.ID.Encoded()+".erofs")
	}
	if _, err := os.Stat(c.Index); err == nil {
		return c, nil
	}
	return c, layerpack.BuildIndex(ctx, c.Index, c.Layers)
}

// attach mounts a tree, once for all who want it, and tells where.
func (s *stack) attach(ctx context.Context, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, at := s.trees[name], filepath.Join(s.dir(name), "root")
	if t == nil {
		return "", fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if t.mount == nil {
		snap, o := t.snap, cow.MountOptions{AllowOther: true, Suid: true, Dev: true, ReadOnly: t.view}
		if t.layer != "" { // what lies above it counts on that
			chain, err := s.chain(ctx, append(slices.Clone(t.base), t.layer))
			if err != nil {
				return "", err
			}
			snap, o.ReadOnly = cow.Snapshot{Base: chain}, true
		}
		m, err := s.drv.Mount(ctx, snap, at, o)
		if err != nil {
			return "", err
		}
		t.mount = m
	}
	t.users++
	return at, nil
}

// detach ends one use of a tree's mount, which ends with the last.
func (s *stack) detach(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trees[name]
	if t == nil || t.mount == nil {
		return nil
	}
	if t.users--; t.users > 0 {
		return nil
	}
	if err := t.mount.Unmount(); err != nil {
		return err
	}
	t.mount = nil
	return nil
}

// freeze makes a tree a layer.
func (s *stack) freeze(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.layers(ctx, name)
	return err
}

// apply makes an archive a tree's layer, and returns what the archive's files hold, in bytes.
func (s *stack) apply(ctx context.Context, name string, tar io.Reader) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trees[name]
	if t == nil {
		return 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if err := s.become(ctx, t, tar); err != nil {
		return 0, err
	}
	return layerpack.ContentSize(cow.Layer{DiffID: t.layer, Dir: s.layerDir(t.layer)})
}

func (s *stack) tree(name string) *tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trees[name]
}

func (s *stack) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.trees))
}

// remove forgets a tree. What the driver keeps of it goes as soon as nobody has it
// mounted any more, at another place either.
func (s *stack) remove(ctx context.Context, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trees[name]
	if t == nil {
		return
	}
	delete(s.trees, name)
	ctx = context.WithoutCancel(ctx)
	s.removals.Go(func() error {
		if t.mount != nil {
			if err := t.mount.Unmount(); err != nil {
				return err
			}
		}
		if !t.view {
			if err := s.drv.Remove(ctx, t.snap); err != nil {
				return err
			}
		}
		return os.RemoveAll(s.dir(name))
	})
}

// close unmounts and removes all that is left, and has the driver remove what it
// keeps beside.
func (s *stack) close(ctx context.Context) error {
	for _, n := range s.names() {
		s.remove(ctx, n)
	}
	errs := []error{s.removals.Wait()}
	if p, ok := s.drv.(cow.Pruner); ok {
		errs = append(errs, p.Prune(ctx, nil))
	}
	return errors.Join(errs...)
}

// size is what the files below a directory hold, in bytes, and how many names there are.
func size(dir string) (bytes, names int64, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if names++; d.Type().IsRegular() {
			fi, err := d.Info()
			if err != nil {
				return err
			}
			bytes += fi.Size()
		}
		return nil
	})
	return bytes, names, err
}

// mountsBelow are the mounts of this namespace below a directory.
func mountsBelow(dir string) (left []string, err error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(raw)) {
		if at := strings.Fields(line)[4]; strings.HasPrefix(at, dir+"/") {
			left = append(left, at)
		}
	}
	return left, err
}

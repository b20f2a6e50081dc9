// Package volumes is what drivers have in common whose snapshots are volumes: filesystems of their
// own, kept elsewhere, each of which a directory stands for that says which it is.
//
//	cow.Layer… ──Base──► a directory ──Clone──► Snapshot.Dir/<name> ──Open──► Volume ──Attach──► target
//	                                                  └─ made: see tree.Stamp
//
// # Invariants
//
//   - A snapshot is stamped before it is made: one whose maker was killed has no stamp that
//     would have it taken for unchanged.
package volumes

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/attach"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

// madeName is the file in a snapshot's directory that tree.Stamp makes.
const madeName = "made"

// A Volume is mounted, attached nowhere.
type Volume interface {
	Root() string
	Close() // unmounts it, unless it is attached
	Attach(target string, end func()) (*attach.Mounted, error)
}

// Snapshots are those of a driver. It has their methods if it embeds them.
type Snapshots struct {
	Directory string // in Snapshot.Dir, of all that there is of one
	// Base locks the base of layers: the directory that stands for it.
	Base func(ctx context.Context, layers []cow.Layer) (tree.Tree, error)
	// Made tells whether dir stands for a volume that is there.
	Made func(ctx context.Context, dir string) (bool, error)
	// Clone makes a volume that begins as that of the directory from, and has to stand for it.
	Clone func(ctx context.Context, from, to string) error
	// Open mounts the volume of dir, with MOUNT_ATTR_* flags.
	Open func(ctx context.Context, dir string, readOnly bool, attr int) (Volume, error)
	// Drop removes the directory name in dir, and its volume. That either is not there is no error.
	Drop func(ctx context.Context, dir, name string) error
	// At is called between lines at which tests kill the process.
	At func(step string)
}

// dir is the directory of all that there is of a snapshot.
func (v Snapshots) dir(s cow.Snapshot) string { return filepath.Join(s.Dir, v.Directory) }

// Create implements cow.Driver. A snapshot that is already there stays as it is.
func (v Snapshots) Create(ctx context.Context, s cow.Snapshot) error {
	if err := v.create(ctx, s); err != nil {
		return fmt.Errorf("create snapshot %s: %w", s.Dir, err)
	}
	return nil
}

func (v Snapshots) create(ctx context.Context, s cow.Snapshot) error {
	at := v.dir(s)
	if made, err := v.Made(ctx, at); made || err != nil {
		return err
	}
	base, err := v.Base(ctx, s.Base.Layers)
	if err != nil {
		return err
	}
	defer base.Release()
	if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := tree.Stamp(filepath.Join(at, madeName), base.Path); err != nil {
		return err
	}
	v.At("stamped")
	return v.Clone(ctx, base.Path, at)
}

// Mount implements cow.Driver.
func (v Snapshots) Mount(ctx context.Context, s cow.Snapshot, target string, o cow.MountOptions) (cow.Mount, error) {
	m, err := v.mount(ctx, s, target, o)
	if err != nil {
		return nil, fmt.Errorf("mount at %s: %w", target, err)
	}
	return m, nil
}

func (v Snapshots) mount(ctx context.Context, s cow.Snapshot, target string, o cow.MountOptions) (*attach.Mounted, error) {
	dir, end := v.dir(s), func() {}
	if o.ReadOnly {
		base, err := v.Base(ctx, s.Base.Layers)
		if err != nil {
			return nil, err
		}
		dir, end = base.Path, base.Release
	}
	m, err := v.Open(ctx, dir, o.ReadOnly, attach.Attr(o))
	if err != nil {
		end()
		return nil, err
	}
	defer m.Close()
	return m.Attach(target, end)
}

// Changes implements cow.Driver, by comparing the snapshot with its base.
func (v Snapshots) Changes(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Change, error] {
	return v.compared(s).Changes(ctx)
}

// Diff implements cow.Driver.
func (v Snapshots) Diff(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Entry, error] {
	return v.compared(s).Diff(ctx)
}

// compared is the snapshot and its base, mounted, attached nowhere, for as long as they are
// compared.
func (v Snapshots) compared(s cow.Snapshot) tree.Copy {
	return tree.Copy{
		Dir: v.dir(s), Chain: s.Base,
		Open: func(ctx context.Context) (string, func(), error) {
			m, err := v.Open(ctx, v.dir(s), false, unix.MOUNT_ATTR_RDONLY)
			if err != nil {
				return "", nil, err
			}
			return m.Root(), m.Close, nil
		},
		Base: func(ctx context.Context) (tree.Tree, error) { return v.mountedBase(ctx, s.Base.Layers) },
		Same: func(context.Context) (func(*unix.Stat_t) bool, error) {
			return tree.Unchanged(filepath.Join(v.dir(s), madeName))
		},
	}
}

// mountedBase is the base of layers as a tree that can be read, mounted read-only
// nowhere until it is released.
func (v Snapshots) mountedBase(ctx context.Context, layers []cow.Layer) (tree.Tree, error) {
	base, err := v.Base(ctx, layers)
	if err != nil {
		return tree.Tree{}, err
	}
	m, err := v.Open(ctx, base.Path, true, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		base.Release()
		return tree.Tree{}, err
	}
	return base.At(m.Root(), m.Close), nil
}

// Remove implements cow.Driver. The snapshot must not be mounted; where something still
// has it open, its blocks are free later.
func (v Snapshots) Remove(ctx context.Context, s cow.Snapshot) error {
	if err := v.Drop(ctx, s.Dir, v.Directory); err != nil {
		return fmt.Errorf("remove snapshot %s: %w", s.Dir, err)
	}
	return nil
}

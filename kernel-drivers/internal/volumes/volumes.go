// Package volumes is what drivers have in common whose layers and snapshots are volumes: filesystems
// of their own, kept elsewhere, each of which a directory stands for that says which it is.
//
//	Empty ──► <home>/<group>/<no layers> ──Freeze     a base: the directory is kept by package tree
//	                 │ Clone
//	          <home>/<group>/<chain id 1> ◄──layerpack.Apply── layer 1 ──Freeze
//	                 │ Clone
//	          Snapshot.Dir/<name> ──Open──► Volume ──Attach──► target
//	                 └─ made: see tree.Stamp
//
// # Invariants
//
//   - A base's volume is not written to after its directory has its final name.
//   - A snapshot is stamped before it is made: one whose maker was killed has no stamp that
//     would have it taken for unchanged.
//
// Locks: the base's, shared, while a clone of it is made or it is read; the bases below it in turn,
// from the top one down.
package volumes

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
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
	Sync() error // has all of it on disk
	Close()      // unmounts it, unless it is attached
	Attach(target string, end func()) (*attach.Mounted, error)
}

// A Store is how a driver keeps its volumes. The driver has its methods if it embeds it.
type Store struct {
	Home      string       // an absolute path, below which are the directories of bases; made when first needed
	Directory string       // in Snapshot.Dir, of all that there is of one
	Log       *slog.Logger // is told what a base had to leave out
	// Empty makes an empty volume, and has dir stand for it.
	Empty func(ctx context.Context, dir string) error
	// Clone makes a volume that begins as that of the directory from, and has to stand for it.
	Clone func(ctx context.Context, from, to string) error
	// Made tells whether dir stands for a volume that is there.
	Made func(ctx context.Context, dir string) (bool, error)
	// Open mounts the volume of dir, with MOUNT_ATTR_* flags.
	Open func(ctx context.Context, dir string, readOnly bool, attr int) (Volume, error)
	// Freeze is called when the volume of a base is filled, and unmounted: from now on it is cloned.
	Freeze func(ctx context.Context, dir string) error
	// Drop removes the directory name in dir, and its volume. That either is not there is no error.
	Drop func(ctx context.Context, dir, name string) error
	// Hold, when not nil, has what all volumes need ready until end is called, for who needs it
	// several times.
	Hold func(ctx context.Context) (end func(), err error)
	// At is called between lines at which tests kill the process.
	At func(step string)
}

// dir is the directory of all that there is of a snapshot.
func (v Store) dir(s cow.Snapshot) string { return filepath.Join(s.Dir, v.Directory) }

// Create implements cow.Driver. A snapshot that is already there stays as it is.
func (v Store) Create(ctx context.Context, s cow.Snapshot) error {
	if err := v.create(ctx, s); err != nil {
		return fmt.Errorf("create snapshot %s: %w", s.Dir, err)
	}
	return nil
}

func (v Store) create(ctx context.Context, s cow.Snapshot) error {
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
func (v Store) Mount(ctx context.Context, s cow.Snapshot, target string, o cow.MountOptions) (cow.Mount, error) {
	m, err := v.mount(ctx, s, target, o)
	if err != nil {
		return nil, fmt.Errorf("mount at %s: %w", target, err)
	}
	return m, nil
}

func (v Store) mount(ctx context.Context, s cow.Snapshot, target string, o cow.MountOptions) (*attach.Mounted, error) {
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
func (v Store) Changes(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Change, error] {
	return v.compared(s).Changes(ctx)
}

// Diff implements cow.Driver.
func (v Store) Diff(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Entry, error] {
	return v.compared(s).Diff(ctx)
}

// compared is the snapshot and its base, mounted, attached nowhere, for as long as they are
// compared.
func (v Store) compared(s cow.Snapshot) tree.Copy {
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
func (v Store) mountedBase(ctx context.Context, layers []cow.Layer) (tree.Tree, error) {
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
func (v Store) Remove(ctx context.Context, s cow.Snapshot) error {
	if err := v.Drop(ctx, s.Dir, v.Directory); err != nil {
		return fmt.Errorf("remove snapshot %s: %w", s.Dir, err)
	}
	return nil
}

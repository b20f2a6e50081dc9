package vfs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/attach"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

// Name is what the driver is called.
const Name = "vfs"

// Names in Snapshot.Dir.
const (
	copyName = "vfs"
	copyTemp = "vfs.new"  // until it is complete
	madeName = "vfs.made" // see tree.Stamp
)

// Driver keeps a full copy for each snapshot. It implements cow.Driver.
type Driver struct {
	home string       // immutable; made when first needed
	log  *slog.Logger // immutable
}

var (
	_ cow.Driver = (*Driver)(nil)
	_ cow.Pruner = (*Driver)(nil)
)

// New is a driver that keeps its bases below home, an absolute path. Log is told
// what a base had to leave out, and may be nil. Nothing is made or looked at yet.
func New(home string, log *slog.Logger) *Driver {
	return &Driver{home: filepath.Clean(home), log: tree.Logger(log)}
}

// Name implements cow.Driver.
func (d *Driver) Name() string { return Name }

// Probe implements cow.Driver. All it takes is a directory that can be written
// and the right to mount.
func (d *Driver) Probe(context.Context) error {
	u := attach.ProbeBind()
	if u == nil {
		u = sys.ProbeWritable(d.home)
	}
	if u == nil {
		return nil
	}
	u.Driver = Name
	return u
}

// base locks the base of c, and extracts it if it isn't there.
func (d *Driver) base(ctx context.Context, c cow.Chain) (tree.Tree, error) {
	group, err := tree.OwnGroup(d.home)
	if err != nil {
		return tree.Tree{}, err
	}
	return group.Open(ctx, tree.BaseID(c.Layers), tree.Recipe{
		Fill: func(temp string) error { return tree.ExtractBase(ctx, c.Layers, temp, d.log) },
	})
}

// Create implements cow.Driver. A snapshot that is already there stays as it is.
func (d *Driver) Create(ctx context.Context, s cow.Snapshot) error {
	if err := d.create(ctx, s); err != nil {
		return fmt.Errorf("create snapshot %s: %w", s.Dir, err)
	}
	return nil
}

func (d *Driver) create(ctx context.Context, s cow.Snapshot) error {
	final, temp := filepath.Join(s.Dir, copyName), filepath.Join(s.Dir, copyTemp)
	if _, err := os.Lstat(final); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	base, err := d.base(ctx, s.Base)
	if err != nil {
		return err
	}
	defer base.Release()
	// Killed before the rename, the next Create begins again.
	if err := tree.Remove(s.Dir, copyTemp); err != nil {
		return err
	}
	if err := os.Mkdir(temp, 0o700); err != nil {
		return err
	}
	if err := copyTree(ctx, base.Path, temp); err != nil {
		return err
	}
	if err := tree.Stamp(filepath.Join(s.Dir, madeName), temp); err != nil {
		return err
	}
	if err := os.Rename(temp, final); err != nil {
		return err
	}
	return sys.SyncDir(s.Dir)
}

// Mount implements cow.Driver.
func (d *Driver) Mount(ctx context.Context, s cow.Snapshot, target string, o cow.MountOptions) (cow.Mount, error) {
	dir, end := filepath.Join(s.Dir, copyName), func() {}
	if o.ReadOnly {
		base, err := d.base(ctx, s.Base)
		if err != nil {
			return nil, fmt.Errorf("mount at %s: %w", target, err)
		}
		dir, end = base.Path, base.Release
	}
	m, err := attach.BindWatched(dir, target, o, end)
	if err != nil {
		return nil, fmt.Errorf("mount at %s: %w", target, err)
	}
	return m, nil
}

// Changes implements cow.Driver, by comparing the snapshot with its base.
func (d *Driver) Changes(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Change, error] {
	return d.compared(s).Changes(ctx)
}

// Diff implements cow.Driver.
func (d *Driver) Diff(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Entry, error] {
	return d.compared(s).Diff(ctx)
}

func (d *Driver) compared(s cow.Snapshot) tree.Copy {
	return tree.Copy{
		Dir:   filepath.Join(s.Dir, copyName),
		Chain: s.Base,
		Base:  func(ctx context.Context) (tree.Tree, error) { return d.base(ctx, s.Base) },
		Same: func(context.Context) (func(*unix.Stat_t) bool, error) {
			return tree.Unchanged(filepath.Join(s.Dir, madeName))
		},
	}
}

// Remove implements cow.Driver. The snapshot must not be mounted.
func (d *Driver) Remove(_ context.Context, s cow.Snapshot) error {
	for _, name := range []string{copyName, copyTemp, madeName} {
		if err := tree.Remove(s.Dir, name); err != nil {
			return fmt.Errorf("remove snapshot %s: %w", s.Dir, err)
		}
	}
	return nil
}

// Prune implements cow.Pruner: it removes the bases of other chains than keep's.
// Only bases of this process's group are looked at.
func (d *Driver) Prune(ctx context.Context, keep []cow.Chain) error {
	group, err := tree.OwnGroup(d.home)
	if err != nil {
		return err
	}
	needed := map[digest.Digest]bool{}
	for _, c := range keep {
		needed[tree.BaseID(c.Layers)] = true
	}
	return group.Prune(ctx, needed)
}

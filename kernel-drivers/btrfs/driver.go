package btrfs

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
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

// Name is what the driver is called.
const Name = "btrfs"

// Names in Snapshot.Dir.
const (
	volumeName = "btrfs"      // the subvolume
	madeName   = "btrfs.made" // see tree.Stamp
)

// Driver keeps layers and snapshots as subvolumes. It implements cow.Driver.
type Driver struct {
	home string       // immutable; made when first needed
	log  *slog.Logger // immutable
}

var (
	_ cow.Driver  = (*Driver)(nil)
	_ cow.Pruner  = (*Driver)(nil)
	_ cow.Limiter = (*Driver)(nil)
)

// New is a driver that keeps its bases below home, an absolute path on btrfs. Log is
// told what a base had to leave out, and may be nil. Nothing is made or looked at
// yet.
func New(home string, log *slog.Logger) *Driver {
	return &Driver{home: filepath.Clean(home), log: tree.Logger(log)}
}

// Name implements cow.Driver.
func (d *Driver) Name() string { return Name }

// Probe implements cow.Driver: home has to be on btrfs.
func (d *Driver) Probe(context.Context) error {
	u := d.probe()
	if u == nil {
		return nil
	}
	u.Driver = Name
	return u
}

func (d *Driver) probe() *cow.Unusable {
	if u := sys.ProbeFilesystem("btrfs", "CONFIG_BTRFS_FS"); u != nil {
		return u
	}
	dir := sys.Existing(d.home)
	var st unix.Statfs_t
	if err := sys.Again(func() error { return unix.Statfs(dir, &st) }); err != nil {
		return &cow.Unusable{Reason: fmt.Sprintf("%s can't be looked at: %v", dir, err)}
	}
	if int64(st.Type) != unix.BTRFS_SUPER_MAGIC {
		return &cow.Unusable{Reason: dir + " is not on btrfs", Hint: "put the store on btrfs (--root)"}
	}
	if u := sys.ProbeWritable(dir); u != nil {
		return u
	}
	return attach.ProbeBind()
}

// Create implements cow.Driver. A snapshot that is already there stays as it is.
func (d *Driver) Create(ctx context.Context, s cow.Snapshot) error {
	if err := d.create(ctx, s); err != nil {
		return fmt.Errorf("create snapshot %s: %w", s.Dir, err)
	}
	return nil
}

func (d *Driver) create(ctx context.Context, s cow.Snapshot) error {
	if _, err := os.Lstat(filepath.Join(s.Dir, volumeName)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	base, err := d.base(ctx, s.Base.Layers)
	if err != nil {
		return err
	}
	defer base.Release()
	at := filepath.Join(s.Dir, volumeName)
	if err := snapshotAt(base.Path, at); err != nil {
		return err
	}
	// Killed before this, the snapshot is compared byte by byte.
	return tree.Stamp(filepath.Join(s.Dir, madeName), at)
}

// Mount implements cow.Driver.
func (d *Driver) Mount(ctx context.Context, s cow.Snapshot, target string, o cow.MountOptions) (cow.Mount, error) {
	dir, end := filepath.Join(s.Dir, volumeName), func() {}
	if o.ReadOnly {
		base, err := d.base(ctx, s.Base.Layers)
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
		Dir:   filepath.Join(s.Dir, volumeName),
		Chain: s.Base,
		Base:  func(ctx context.Context) (tree.Tree, error) { return d.base(ctx, s.Base.Layers) },
		Same:  func(ctx context.Context) (func(*unix.Stat_t) bool, error) { return unchanged(ctx, s.Dir) },
	}
}

// Limit implements cow.Limiter: it bounds what the snapshot doesn't share with
// any other subvolume. Quotas have to be on for the filesystem, which this does
// not do: they cost everybody on it.
func (d *Driver) Limit(_ context.Context, s cow.Snapshot, size int64) error {
	at := filepath.Join(s.Dir, volumeName)
	fd, err := sys.OpenDir(unix.AT_FDCWD, at)
	if err != nil {
		return fmt.Errorf("open %s: %w", at, err)
	}
	defer unix.Close(fd)
	err = limitExclusiveSize(fd, size)
	switch {
	case errors.Is(err, unix.ENOTCONN), errors.Is(err, unix.EINVAL):
		return &cow.Unusable{Driver: Name, Reason: "the filesystem has no quotas", Hint: "as root: btrfs quota enable " + d.home}
	case errors.Is(err, unix.EPERM):
		return &cow.Unusable{Driver: Name, Reason: "only root can set quotas", Hint: "run as root, or without a size"}
	case err != nil:
		return fmt.Errorf("limit %s to %d bytes: %w", at, size, err)
	}
	return nil
}

// Remove implements cow.Driver. The snapshot must not be mounted.
func (d *Driver) Remove(_ context.Context, s cow.Snapshot) error {
	err := drop(s.Dir, volumeName)
	if err == nil {
		err = tree.Remove(s.Dir, madeName)
	}
	if err != nil {
		return fmt.Errorf("remove snapshot %s: %w", s.Dir, err)
	}
	return nil
}

// Prune implements cow.Pruner: it removes the bases that no chain of keep stands on.
// Only bases of this process's group are looked at.
func (d *Driver) Prune(ctx context.Context, keep []cow.Chain) error {
	group, err := d.group()
	if err != nil {
		return err
	}
	return group.Prune(ctx, tree.BasesOf(keep))
}

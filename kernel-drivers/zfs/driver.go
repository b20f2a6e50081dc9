package zfs

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

// Name is what the driver is called.
const Name = "zfs"

// Names in Snapshot.Dir.
const (
	volumeName = "zfs"  // the directory of all else
	madeName   = "made" // see tree.Stamp
)

// Driver keeps layers and snapshots as datasets. It implements cow.Driver.
type Driver struct {
	home  string            // immutable; made when first needed
	log   *slog.Logger      // immutable
	at    func(step string) // immutable; called between lines at which tests kill the process
	mount mounter           // immutable; mountKernel but in tests
}

var (
	_ cow.Driver  = (*Driver)(nil)
	_ cow.Pruner  = (*Driver)(nil)
	_ cow.Limiter = (*Driver)(nil)
)

// New is a driver that keeps the records of its bases below home, an absolute path, and
// all else in a pool. Log is told what a base had to leave out, and may be nil. Nothing is
// made or looked at yet.
func New(home string, log *slog.Logger) *Driver {
	return &Driver{home: filepath.Clean(home), log: tree.Logger(log), at: func(string) {}, mount: mountKernel}
}

// Name implements cow.Driver.
func (d *Driver) Name() string { return Name }

// Create implements cow.Driver. A snapshot that is already there stays as it is.
func (d *Driver) Create(ctx context.Context, s cow.Snapshot) error {
	if err := d.create(ctx, s); err != nil {
		return fmt.Errorf("create snapshot %s: %w", s.Dir, err)
	}
	return nil
}

func (d *Driver) create(ctx context.Context, s cow.Snapshot) error {
	at := filepath.Join(s.Dir, volumeName)
	if r, err := readRecord(at); err == nil {
		if there, err := exists(ctx, r.Dataset); there || err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	base, err := d.base(ctx, s.Base.Layers)
	if err != nil {
		return err
	}
	defer base.Release()
	if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	// Before the clone: of a snapshot that was made and not stamped, one that is
	// killed here leaves nothing that would be taken for unchanged.
	if err := tree.Stamp(filepath.Join(at, madeName), base.Path); err != nil {
		return err
	}
	d.at("stamped")
	return d.cloneOf(ctx, base.Path, at)
}

// Mount implements cow.Driver.
func (d *Driver) Mount(ctx context.Context, s cow.Snapshot, target string, o cow.MountOptions) (cow.Mount, error) {
	m, err := d.mountAt(ctx, s, target, o)
	if err != nil {
		return nil, fmt.Errorf("mount at %s: %w", target, err)
	}
	return m, nil
}

func (d *Driver) mountAt(ctx context.Context, s cow.Snapshot, target string, o cow.MountOptions) (*attach.Mounted, error) {
	dir, end := filepath.Join(s.Dir, volumeName), func() {}
	if o.ReadOnly {
		base, err := d.base(ctx, s.Base.Layers)
		if err != nil {
			return nil, err
		}
		dir, end = base.Path, base.Release
	}
	m, err := d.mounted(ctx, dir, o.ReadOnly, attach.Attr(o))
	if err != nil {
		end()
		return nil, err
	}
	defer m.Close()
	return m.Attach(target, end)
}

// mounted mounts the dataset that dir has the record of, attached nowhere.
func (d *Driver) mounted(ctx context.Context, dir string, readOnly bool, attr int) (*attach.Detached, error) {
	r, err := readRecord(dir)
	if err != nil {
		return nil, err
	}
	return d.mount(ctx, r.Dataset, readOnly, attr)
}

// Changes implements cow.Driver, by comparing the snapshot with its base.
func (d *Driver) Changes(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Change, error] {
	return d.compared(s).Changes(ctx)
}

// Diff implements cow.Driver.
func (d *Driver) Diff(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Entry, error] {
	return d.compared(s).Diff(ctx)
}

// compared is the snapshot and its base, mounted, attached nowhere, for as long as they are
// compared.
func (d *Driver) compared(s cow.Snapshot) tree.Copy {
	at := filepath.Join(s.Dir, volumeName)
	return tree.Copy{
		Dir: at, Chain: s.Base,
		Open: func(ctx context.Context) (string, func(), error) {
			m, err := d.mounted(ctx, at, false, unix.MOUNT_ATTR_RDONLY)
			if err != nil {
				return "", nil, err
			}
			return m.Root(), m.Close, nil
		},
		Base: func(ctx context.Context) (tree.Tree, error) { return d.mountedBase(ctx, s.Base.Layers) },
		Same: func(context.Context) (func(*unix.Stat_t) bool, error) {
			return tree.Unchanged(filepath.Join(at, madeName))
		},
	}
}

// Limit implements cow.Limiter, by a quota on what the snapshot has for itself: what it shares
// with the image doesn't count. ZFS enforces it with a few seconds' delay.
func (d *Driver) Limit(ctx context.Context, s cow.Snapshot, size int64) error {
	r, err := readRecord(filepath.Join(s.Dir, volumeName))
	if err == nil {
		quota := "none"
		if size > 0 {
			quota = fmt.Sprint(size)
		}
		_, err = run(ctx, "set", "quota="+quota, r.Dataset)
	}
	if err != nil {
		return fmt.Errorf("limit %s to %d bytes: %w", s.Dir, size, err)
	}
	return nil
}

// Remove implements cow.Driver. The snapshot must not be mounted; where something still
// has it open, its blocks are free later.
func (d *Driver) Remove(ctx context.Context, s cow.Snapshot) error {
	if err := d.remove(ctx, s.Dir, volumeName); err != nil {
		return fmt.Errorf("remove snapshot %s: %w", s.Dir, err)
	}
	return nil
}

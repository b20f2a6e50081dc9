package zfs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/attach"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
	"github.com/cfs-project/cfs/kernel-drivers/internal/volumes"
)

// Name is what the driver is called.
const Name = "zfs"

// volumeName is the directory in Snapshot.Dir.
const volumeName = "zfs"

// Driver keeps layers and snapshots as datasets. It implements cow.Driver.
type Driver struct {
	volumes.Store

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
	d := &Driver{at: func(string) {}, mount: mountKernel}
	d.Store = volumes.Store{
		Home: filepath.Clean(home), Directory: volumeName, Log: tree.Logger(log),
		Empty: d.empty, Clone: d.cloneOf, Made: d.made, Freeze: d.freeze, Drop: d.remove, At: func(step string) { d.at(step) },
		Open: func(ctx context.Context, dir string, readOnly bool, attr int) (volumes.Volume, error) {
			return d.mounted(ctx, dir, readOnly, attr)
		},
	}
	return d
}

// Name implements cow.Driver.
func (d *Driver) Name() string { return Name }

// made tells whether the dataset is there that dir has the record of.
func (d *Driver) made(ctx context.Context, dir string) (bool, error) {
	r, err := readRecord(dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return exists(ctx, r.Dataset)
}

// mounted mounts the dataset that dir has the record of, attached nowhere.
func (d *Driver) mounted(ctx context.Context, dir string, readOnly bool, attr int) (*attach.Detached, error) {
	r, err := readRecord(dir)
	if err != nil {
		return nil, err
	}
	return d.mount(ctx, r.Dataset, readOnly, attr)
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

package devicemapper

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
	"github.com/cfs-project/cfs/kernel-drivers/internal/volumes"
)

// Name is what the driver is called.
const Name = "devicemapper"

// volumeName is the directory in Snapshot.Dir.
const volumeName = "devicemapper"

// Driver keeps layers and snapshots as thin devices. It implements cow.Driver.
type Driver struct {
	volumes.Store

	at func(step string) // immutable; called between lines at which tests kill the process
}

var (
	_ cow.Driver  = (*Driver)(nil)
	_ cow.Pruner  = (*Driver)(nil)
	_ cow.Limiter = (*Driver)(nil)
)

// New is a driver that keeps its pool and the records of its bases below home, an absolute
// path. Log is told what a base had to leave out, and may be nil. Nothing is made
// or looked at yet.
func New(home string, log *slog.Logger) *Driver {
	d := &Driver{at: func(string) {}}
	d.Store = volumes.Store{
		Home: filepath.Clean(home), Directory: volumeName, Log: tree.Logger(log),
		Empty: d.empty, Clone: d.snapshotOf, Made: recorded, Freeze: d.freeze, Drop: d.remove, At: func(step string) { d.at(step) },
		Open: func(ctx context.Context, dir string, readOnly bool, attr int) (volumes.Volume, error) {
			return d.volume(ctx, dir, readOnly, attr)
		},
		Hold: func(ctx context.Context) (func(), error) {
			pool, err := d.keep(ctx)
			if err != nil {
				return nil, err
			}
			return func() { pool.Close() }, nil
		},
	}
	return d
}

// Name implements cow.Driver.
func (d *Driver) Name() string { return Name }

// recorded tells whether dir has the record of a device.
func recorded(_ context.Context, dir string) (bool, error) {
	_, err := readRecord(dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// snapshotOf makes a snapshot of the device that from has the record of, and writes
// that of the new one into the directory to.
func (d *Driver) snapshotOf(ctx context.Context, from, to string) error {
	of, err := readRecord(from)
	if err != nil {
		return err
	}
	p, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	return p.create(ctx, to, record{Size: of.Size, Filesystem: of.Filesystem}, &of.Device)
}

// remove removes the directory name in dir and the device that it has the record of.
// That either is not there is no error.
func (d *Driver) remove(ctx context.Context, dir, name string) error {
	r, err := readRecord(filepath.Join(dir, name))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return tree.Remove(dir, name)
	case err != nil:
		return err
	}
	p, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	return p.delete(ctx, r, func() error { return tree.Remove(dir, name) })
}

package zfs

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

// freeze takes the snapshot that clones are made of.
func (d *Driver) freeze(ctx context.Context, dir string) error {
	r, err := readRecord(dir)
	if err != nil {
		return err
	}
	_, err = run(ctx, "snapshot", r.snapshot())
	d.at("frozen")
	return err
}

// remove removes the directory name in dir and the dataset that it has the record of.
// That either is not there is no error.
func (d *Driver) remove(ctx context.Context, dir, name string) error {
	r, err := readRecord(filepath.Join(dir, name))
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := d.destroy(ctx, r.Dataset); err != nil {
			return err
		}
	}
	return tree.Remove(dir, name)
}

// Prune implements cow.Pruner: it removes the bases that no chain of keep stands on. Those that
// snapshots are clones of go with the last of these.
func (d *Driver) Prune(ctx context.Context, keep []cow.Chain) error {
	group, err := tree.OwnGroup(d.Home)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(group.Dir); errors.Is(err, os.ErrNotExist) {
		return nil // nothing was ever made
	}
	if err := d.Store.Prune(ctx, keep); err != nil {
		return err
	}
	return d.sweep(ctx)
}

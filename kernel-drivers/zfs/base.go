package zfs

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

func (d *Driver) group(ctx context.Context) (tree.Group, error) {
	g, err := tree.OwnGroup(d.home)
	g.Drop = func(dir, name string) error { return d.remove(ctx, dir, name) }
	return g, err
}

// base locks the base of layers, bottom first: the directory that has its record. One
// that isn't there is made from the one below it.
func (d *Driver) base(ctx context.Context, layers []cow.Layer) (tree.Tree, error) {
	group, err := d.group(ctx)
	if err != nil {
		return tree.Tree{}, err
	}
	return group.Open(ctx, tree.BaseID(layers), tree.Recipe{
		Fill: func(temp string) error {
			if err := d.dataset(ctx, layers, temp); err != nil {
				return err
			}
			return d.fill(ctx, layers, temp)
		},
	})
}

// dataset makes the dataset of a base, and its record in temp: a clone of the base below
// it, or an empty one.
func (d *Driver) dataset(ctx context.Context, layers []cow.Layer, temp string) error {
	n := len(layers) - 1
	if n < 0 {
		return d.empty(ctx, temp)
	}
	below, err := d.base(ctx, layers[:n])
	if err != nil {
		return err
	}
	defer below.Release()
	return d.cloneOf(ctx, below.Path, temp)
}

// fill applies the last of layers to the dataset that temp has the record of, and takes
// the snapshot that clones are made of.
func (d *Driver) fill(ctx context.Context, layers []cow.Layer, temp string) error {
	r, err := readRecord(temp)
	if err != nil {
		return err
	}
	m, err := d.mount(ctx, r.Dataset, false, 0)
	if err != nil {
		return err
	}
	err = tree.ApplyLast(ctx, layers, m.Root(), d.log)
	d.at("filled")
	if err == nil {
		err = m.Sync()
	}
	m.Close()
	if err != nil {
		return err
	}
	if _, err := run(ctx, "snapshot", r.snapshot()); err != nil {
		return err
	}
	d.at("frozen")
	return tree.Touch(temp)
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
	group, err := d.group(ctx)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(group.Dir); errors.Is(err, os.ErrNotExist) {
		return nil // nothing was ever made
	}
	if err := group.Prune(ctx, tree.BasesOf(keep)); err != nil {
		return err
	}
	return d.sweep(ctx)
}

package devicemapper

import (
	"context"

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
			pool, err := d.keep(ctx)
			if err != nil {
				return err
			}
			defer pool.Close()
			if err := d.device(ctx, layers, temp); err != nil {
				return err
			}
			return d.fill(ctx, layers, temp)
		},
	})
}

// device makes the device of a base, and its record in temp: a snapshot of the base
// below it, or an empty one.
func (d *Driver) device(ctx context.Context, layers []cow.Layer, temp string) error {
	if n := len(layers) - 1; n >= 0 {
		below, err := d.base(ctx, layers[:n])
		if err != nil {
			return err
		}
		defer below.Release()
		return d.snapshotOf(ctx, below.Path, temp)
	}
	p, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	return p.create(ctx, temp, record{Size: p.options.BaseSize, Filesystem: p.options.Filesystem}, nil)
}

// fill applies the last of layers to the device that temp has the record of, and gives
// a device without layers its filesystem. The device is not active any more then, and so
// it is all on disk.
func (d *Driver) fill(ctx context.Context, layers []cow.Layer, temp string) error {
	if len(layers) == 0 {
		if err := d.format(ctx, temp); err != nil {
			return err
		}
		d.at("formatted")
	}
	v, err := d.volume(ctx, temp, false, 0)
	if err != nil {
		return err
	}
	err = tree.ApplyLast(ctx, layers, v.Root(), d.log)
	d.at("filled")
	if err == nil {
		err = v.Sync()
	}
	v.Close()
	if err != nil {
		return err
	}
	if err := d.wait(ctx, v.name); err != nil {
		return err
	}
	return tree.Touch(temp)
}

// Prune implements cow.Pruner: it removes the bases that no chain of keep stands on.
func (d *Driver) Prune(ctx context.Context, keep []cow.Chain) error {
	group, err := d.group(ctx)
	if err != nil {
		return err
	}
	return group.Prune(ctx, tree.BasesOf(keep))
}

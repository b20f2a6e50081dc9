package volumes

import (
	"context"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

func (v Store) group(ctx context.Context) (tree.Group, error) {
	g, err := tree.OwnGroup(v.Home)
	g.Drop = func(dir, name string) error { return v.Drop(ctx, dir, name) }
	return g, err
}

// Base locks the base of layers, bottom first: the directory that stands for its volume. One
// that isn't there is made from the one below it.
func (v Store) Base(ctx context.Context, layers []cow.Layer) (tree.Tree, error) {
	group, err := v.group(ctx)
	if err != nil {
		return tree.Tree{}, err
	}
	return group.Open(ctx, tree.BaseID(layers), tree.Recipe{
		Fill: func(temp string) error {
			if v.Hold != nil {
				end, err := v.Hold(ctx)
				if err != nil {
					return err
				}
				defer end()
			}
			if err := v.begin(ctx, layers, temp); err != nil {
				return err
			}
			return v.fill(ctx, layers, temp)
		},
	})
}

// begin makes the volume of a base, which temp stands for: a clone of the base below it, or an
// empty one.
func (v Store) begin(ctx context.Context, layers []cow.Layer, temp string) error {
	n := len(layers) - 1
	if n < 0 {
		return v.Empty(ctx, temp)
	}
	below, err := v.Base(ctx, layers[:n])
	if err != nil {
		return err
	}
	defer below.Release()
	return v.Clone(ctx, below.Path, temp)
}

// fill applies the last of layers to the volume that temp stands for, and freezes it.
func (v Store) fill(ctx context.Context, layers []cow.Layer, temp string) error {
	m, err := v.Open(ctx, temp, false, 0)
	if err != nil {
		return err
	}
	err = tree.ApplyLast(ctx, layers, m.Root(), v.Log)
	v.At("filled")
	if err == nil {
		err = m.Sync()
	}
	m.Close()
	if err != nil {
		return err
	}
	if err := v.Freeze(ctx, temp); err != nil {
		return err
	}
	return tree.Touch(temp)
}

// Prune implements cow.Pruner: it removes the bases that no chain of keep stands on.
func (v Store) Prune(ctx context.Context, keep []cow.Chain) error {
	group, err := v.group(ctx)
	if err != nil {
		return err
	}
	return group.Prune(ctx, tree.BasesOf(keep))
}

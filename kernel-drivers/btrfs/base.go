package btrfs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

func (d *Driver) group() (tree.Group, error) {
	g, err := tree.OwnGroup(d.home)
	g.Drop = drop
	return g, err
}

// base locks the base of layers, bottom first. One that isn't there is made from
// the one below it.
func (d *Driver) base(ctx context.Context, layers []cow.Layer) (tree.Tree, error) {
	group, err := d.group()
	if err != nil {
		return tree.Tree{}, err
	}
	n := len(layers) - 1
	return group.Open(ctx, tree.BaseID(layers), tree.Recipe{
		Make: func(temp string) error {
			if n < 0 {
				return subvolumeAt(temp)
			}
			below, err := d.base(ctx, layers[:n])
			if err != nil {
				return err
			}
			defer below.Release()
			return snapshotAt(below.Path, temp)
		},
		Fill: func(temp string) error { return tree.ApplyLast(ctx, layers, temp, d.log) },
	})
}

// subvolumeAt makes an empty subvolume. It fails with EEXIST if something is there.
func subvolumeAt(path string) error {
	dir, err := sys.OpenDir(unix.AT_FDCWD, filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Dir(path), err)
	}
	defer unix.Close(dir)
	if err := createSubvolume(dir, filepath.Base(path)); err != nil {
		return fmt.Errorf("make subvolume %s: %w", path, err)
	}
	return nil
}

// snapshotAt makes a writable snapshot of the subvolume at from. It fails with
// EEXIST if something is at to.
func snapshotAt(from, to string) error {
	src, err := sys.OpenDir(unix.AT_FDCWD, from)
	if err != nil {
		return fmt.Errorf("open %s: %w", from, err)
	}
	defer unix.Close(src)
	dir, err := sys.OpenDir(unix.AT_FDCWD, filepath.Dir(to))
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Dir(to), err)
	}
	defer unix.Close(dir)
	if err := snapshot(src, dir, filepath.Base(to)); err != nil {
		return fmt.Errorf("make snapshot %s of %s: %w", to, from, err)
	}
	return nil
}

// drop removes the subvolume name in the directory dir, at once where the kernel
// lets us, else by emptying it. That either is not there is no error.
func drop(dir, name string) error {
	at, err := sys.OpenDir(unix.AT_FDCWD, dir)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(at)
	if err := destroySubvolume(at, name); err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	// Not privileged, a subvolume of the container's own in it, or no subvolume at all.
	return tree.Remove(dir, name)
}

package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/background"
	"github.com/cfs-project/cfs/internal/hint"
)

// MountOptions is what `cfs mount` was asked for.
type MountOptions struct {
	Source     string // an image, or a container whose changes are to be seen
	Target     string // an existing directory
	ReadWrite  bool
	Name       string // for what is changed
	AllowOther bool
	Driver     string
	MaxSize    int64 // --storage-opt size, in bytes
	Debug      bool
}

// Mount mounts an image or a container at a directory, served by a process of
// its own that outlives the caller, and returns once it can be used. The
// container returned is what [Unmount] finds, and what keeps the changes.
func Mount(ctx context.Context, st *store.Store, o MountOptions) (*Container, error) {
	target, err := filepath.Abs(o.Target)
	if err != nil {
		return nil, err
	}
	if target, err = filepath.EvalSymlinks(target); err != nil {
		return nil, mountTargetError(err, o.Target)
	}
	// Not stat: of a dead mount the kernel may still know the attributes.
	if _, err := os.ReadDir(target); err != nil {
		return nil, mountTargetError(err, o.Target)
	}
	if o.Driver == "" {
		o.Driver = os.Getenv("CFS_DRIVER")
	}
	cs := OpenContainers(st.Root())
	if c, err := mountedAt(cs, target); err != nil {
		return nil, err
	} else if c != nil {
		return nil, fmt.Errorf("%s is mounted on %s already", c.Image, o.Target)
	}
	if o.MaxSize != 0 && !o.ReadWrite {
		return nil, errors.New("a size bounds what is changed: say --rw too")
	}
	c, made, err := mountContainer(ctx, st, cs, o, target)
	if err != nil {
		return nil, err
	}
	// The lock goes over to the server with its descriptor.
	defer c.close()
	var stderr *os.File
	if o.Debug {
		stderr = os.Stderr
	}
	err = background.Start(serveStage, serveRequest{
		Root: st.Root(), ID: c.ID, Target: target, AllowOther: o.AllowOther, Debug: o.Debug,
	}, stderr, c.lock)
	if err != nil && made {
		_ = c.remove(ctx, Drivers(st.Root(), slog.New(slog.DiscardHandler)))
	}
	return c, err
}

// mountTargetError adds to an error on a mount point what to do about a dead one.
func mountTargetError(err error, target string) error {
	if errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED) {
		return hint.With(err, "the server of an earlier mount died: cfs umount "+target)
	}
	return err
}

// mountContainer finds or makes the container that a mount shows.
func mountContainer(ctx context.Context, st *store.Store, cs Containers, o MountOptions, target string) (c *Container, made bool, err error) {
	c, err = cs.Find(o.Source)
	switch {
	case err == nil && !c.ReadOnly:
		if o.Name != "" {
			return nil, false, fmt.Errorf("%s is a container and has its name already", o.Source)
		}
		if o.MaxSize != 0 {
			return nil, false, fmt.Errorf("%s is a container: its size is bounded when it is made", o.Source)
		}
		if err := c.hold(); err != nil {
			return nil, false, err
		}
		// What it stands on is fixed; where it is seen is not.
		if err := c.amend(func(c *Container) {
			if c.MountedAt = target; o.Driver != "" {
				c.Driver = o.Driver
			}
		}); err != nil {
			c.close()
			return nil, false, err
		}
		return c, false, nil
	case err != nil && !errors.Is(err, ErrNoContainer):
		return nil, false, err
	}
	image, err := resolveImage(ctx, st, o.Source)
	if err != nil {
		return nil, false, err
	}
	c, err = cs.Create(Container{
		Name: o.Name, Image: o.Source, ImageID: image.ID, Layers: image.Config.RootFS.DiffIDs, Driver: o.Driver,
		MaxSize: o.MaxSize, MountedAt: target, ReadOnly: !o.ReadWrite, AutoRemove: !o.ReadWrite,
	})
	return c, true, err
}

// mountedAt is the live container mounted at target, or nil.
func mountedAt(cs Containers, target string) (*Container, error) {
	all, err := cs.List()
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.MountedAt == target && c.Running() {
			return c, nil
		}
	}
	return nil, nil
}

// waitEnd waits until nothing of the container lives.
func (c *Container) waitEnd(ctx context.Context, most time.Duration) error {
	deadline := time.Now().Add(most)
	for pause := time.Millisecond; c.Running(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("container %s has not ended after %v", c.ShortID(), most)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return nil
}

// empty tells whether nothing was changed on top of the chain.
func empty(ctx context.Context, d cow.Driver, s cow.Snapshot) bool {
	for _, err := range d.Changes(ctx, s) {
		_ = err
		return false
	}
	return true
}

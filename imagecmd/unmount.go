package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/hint"
)

// Unmount detaches what is mounted at a directory and waits until its server
// has ended. It returns the container that keeps the changes, if there are any. What
// a running container sees, or is mounted elsewhere too, stays mounted.
func Unmount(ctx context.Context, st *store.Store, dir string) (*Container, error) {
	target, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	// A dead mount can't be looked at, but the directory it is in can.
	if parent, err := filepath.EvalSymlinks(filepath.Dir(target)); err == nil {
		target = filepath.Join(parent, filepath.Base(target))
	}
	if real, err := filepath.EvalSymlinks(target); err == nil {
		target = real
	}
	mounts, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(target))
	if err != nil {
		return nil, err
	}
	cs := OpenContainers(st.Root())
	c, err := mountedAt(cs, target)
	if err != nil {
		return nil, err
	}
	switch {
	case len(mounts) > 0:
		if c == nil && mounts[0].FSType != unionType {
			return nil, fmt.Errorf("%s is not a mount of cfs but of %s", dir, mounts[0].FSType)
		}
		if c != nil {
			if err := cs.inUse(mounts[len(mounts)-1]); err != nil {
				return nil, err
			}
			flush(target)
		}
		if err := detach(target); err != nil {
			return nil, err
		}
	case c == nil:
		return nil, errors.New("not mounted")
	}
	if c == nil { // mounted by `cfs union`, or the store was another
		return nil, nil
	}
	// The last mount is gone from here, and yet there may be copies: other mount
	// namespaces got one when they were made, and not all can give it up.
	if c.waitEnd(ctx, copiesPatience) != nil {
		c.endServer()
	}
	if err := c.waitEnd(ctx, 30*time.Second); err != nil {
		return nil, hint.With(err, "it is unmounted here, but its server goes on")
	}
	if c.ReadOnly {
		return nil, nil
	}
	if _, err := os.Stat(c.dir); err != nil {
		return nil, nil // nothing had been changed
	}
	return c, nil
}

// copiesPatience is how long a server has to notice that its mount is gone.
const copiesPatience = 200 * time.Millisecond

// inUse tells who has a mount beside the person who wants to be rid of it.
func (cs Containers) inUse(m *mountinfo.Info) error {
	same, err := mountinfo.GetMounts(sameDevice(m))
	if err != nil {
		return err
	}
	for _, other := range same {
		if other.Mountpoint != m.Mountpoint && m.FSType == unionType { // other filesystems outlive a mount
			return hint.With(fmt.Errorf("%s is mounted at %s too", m.Mountpoint, other.Mountpoint), "umount "+other.Mountpoint)
		}
	}
	all, err := cs.List()
	if err != nil {
		return err
	}
	for _, c := range all {
		for _, source := range c.bindSources() {
			if within(source, m.Mountpoint) && c.MountedAt == "" && c.Running() {
				return hint.With(fmt.Errorf("%s is in use by container %s", m.Mountpoint, c.Label()), "cfs stop "+c.Label())
			}
		}
	}
	return nil
}

// sameDevice finds the mounts of a mount's filesystem.
func sameDevice(m *mountinfo.Info) mountinfo.FilterFunc {
	return func(i *mountinfo.Info) (skip, stop bool) { return i.Major != m.Major || i.Minor != m.Minor, false }
}

// flush has the kernel write what it still holds back of a mount's files: it would do so at
// the last umount only.
func flush(target string) {
	f, err := os.OpenFile(target, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return // its server is dead
	}
	defer f.Close()
	_ = unix.Syncfs(int(f.Fd()))
}

// endServer tells the server of a mount that nobody wants it any more.
func (c *Container) endServer() {
	pid := c.readLive().Server
	if pid <= 0 {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if c.Running() { // so that the process is that one, and not a later one of its number
		_ = unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0)
	}
}

package tree

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// LockPoll is how often a lock that somebody else holds is asked for again.
const LockPoll = 20 * time.Millisecond

// openLocked opens the directory name and locks it. The error wraps ENOENT when
// there is none, also if it was there and went away while another held the lock.
func openLocked(ctx context.Context, name string, how int) (int, error) {
	fd, err := sys.OpenDir(unix.AT_FDCWD, name)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", name, err)
	}
	err = flock(ctx, fd, how)
	if err == nil {
		err = stillNamed(fd, name)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("lock %s: %w", name, err)
	}
	return fd, nil
}

// Lock makes this process the only one of those that call it in the group, until
// unlock is called. It keeps nobody from trees.
func (g Group) Lock(ctx context.Context) (unlock func(), err error) {
	return g.lock(ctx, unix.LOCK_EX)
}

// Share keeps those away who call Lock, until unlock is called.
func (g Group) Share(ctx context.Context) (unlock func(), err error) {
	return g.lock(ctx, unix.LOCK_SH)
}

func (g Group) lock(ctx context.Context, how int) (unlock func(), err error) {
	fd, err := openLocked(ctx, g.Dir, how)
	if err != nil {
		return nil, err
	}
	return func() { unix.Close(fd) }, nil
}

// flock takes or changes the lock on fd; it waits until ctx ends.
func flock(ctx context.Context, fd, how int) error {
	for {
		err := sys.Again(func() error { return unix.Flock(fd, how|unix.LOCK_NB) })
		if err != unix.EWOULDBLOCK {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(LockPoll):
		}
	}
}

// stillNamed checks that name is what fd was opened on.
func stillNamed(fd int, name string) error {
	var a, b unix.Stat_t
	if err := sys.Again(func() error { return unix.Fstat(fd, &a) }); err != nil {
		return err
	}
	if err := sys.Again(func() error { return unix.Lstat(name, &b) }); err != nil {
		return err
	}
	if a.Dev != b.Dev || a.Ino != b.Ino {
		return unix.ENOENT
	}
	return nil
}

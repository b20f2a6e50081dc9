package overlay2

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a lock that somebody else holds is asked for again.
const lockPoll = 20 * time.Millisecond

// openLocked opens the directory name and locks it. The error wraps ENOENT when
// there is none, also if it was there and went away while another held the lock.
func openLocked(ctx context.Context, name string, how int) (int, error) {
	fd, err := open(unix.AT_FDCWD, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
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

// flock takes or changes the lock on fd; it waits until ctx ends.
func flock(ctx context.Context, fd, how int) error {
	for {
		err := again(func() error { return unix.Flock(fd, how|unix.LOCK_NB) })
		if err != unix.EWOULDBLOCK {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

// stillNamed checks that name is what fd was opened on.
func stillNamed(fd int, name string) error {
	var a, b unix.Stat_t
	if err := again(func() error { return unix.Fstat(fd, &a) }); err != nil {
		return err
	}
	if err := again(func() error { return unix.Lstat(name, &b) }); err != nil {
		return err
	}
	if a.Dev != b.Dev || a.Ino != b.Ino {
		return unix.ENOENT
	}
	return nil
}

// again repeats a system call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func open(dir int, name string, flags int) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// flock applies one flock(2) operation without waiting; false means that
// somebody else holds a lock that excludes it.
func flock(f *os.File, how int) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		default:
			return false, &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

// flockWait waits for the lock until ctx ends. It asks again and again, as a
// flock that blocks could not be given up; waits are rare and mostly short.
func flockWait(ctx context.Context, f *os.File, how int) error {
	_, err := flockWhile(ctx, f, how, func() (bool, error) { return true, nil })
	return err
}

// flockAt waits for the exclusive lock on f as long as path names it. The
// answer is false when it does no more: under its new name it may be leased for
// ever.
func flockAt(ctx context.Context, f *os.File, path string) (bool, error) {
	ok, err := flockWhile(ctx, f, unix.LOCK_EX, func() (bool, error) { return isAt(f, path) })
	if !ok || err != nil {
		return false, err
	}
	return isAt(f, path)
}

func flockWhile(ctx context.Context, f *os.File, how int, worth func() (bool, error)) (bool, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if ok, err := flock(f, how); ok || err != nil {
			return ok, err
		}
		if ok, err := worth(); !ok || err != nil {
			return false, err
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// isAt tells whether path still names the open file: what was locked may have
// been renamed or removed while the lock was waited for.
func isAt(f *os.File, path string) (bool, error) {
	have, err := f.Stat()
	if err != nil {
		return false, err
	}
	want, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return os.SameFile(have, want), nil
}

// openObject opens a file or directory of the store for locking and reading.
func openObject(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
}

// lease takes a shared lock on the object at path, which stays there as long as
// the returned file is open. fs.ErrNotExist means that there is none.
func lease(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := openObject(path)
		if err != nil {
			return nil, err
		}
		err = flockWait(ctx, f, unix.LOCK_SH)
		if err == nil {
			var at bool
			if at, err = isAt(f, path); at {
				return f, nil
			}
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// seize takes an exclusive lock on the object at path at once, or returns nil
// because it is leased or not there.
func seize(path string) (*os.File, error) {
	f, err := openObject(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ok, err := flock(f, unix.LOCK_EX)
	if ok {
		ok, err = isAt(f, path)
	}
	if !ok || err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// leased tells whether somebody holds a lease on the object at path.
func leased(path string) (bool, error) {
	f, err := openObject(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	ok, err := flock(f, unix.LOCK_EX)
	return !ok, err
}

package imagecmd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// tryLock locks a container's directory, shared or exclusive, or fails with
// ErrRunning.
func tryLock(dir string, how int) (*os.File, error) { return lockDir(dir, how|unix.LOCK_NB) }

// lockDir locks a directory. One that was removed or renamed before the lock was got is
// not there: fs.ErrNotExist.
func lockDir(dir string, how int) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if f, err = flock(f, how); err != nil {
		return nil, err
	}
	locked, err := f.Stat()
	if err == nil {
		var now fs.FileInfo
		if now, err = os.Lstat(dir); err == nil && !os.SameFile(locked, now) {
			err = &fs.PathError{Op: "flock", Path: dir, Err: fs.ErrNotExist}
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lockNames makes this process the only one that makes or sweeps containers.
func (cs Containers) lockNames() (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(cs.dir(), ".names"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return flock(f, unix.LOCK_EX)
}

// makeAndLockNames is lockNames where there may never have been a container.
func (cs Containers) makeAndLockNames() (*os.File, error) {
	if err := os.MkdirAll(cs.dir(), 0o711); err != nil {
		return nil, err
	}
	return cs.lockNames()
}

// flock locks f, which it closes on failure.
func flock(f *os.File, how int) (*os.File, error) {
	for {
		err := unix.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, unix.EINTR):
			continue
		}
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrRunning
		}
		return nil, &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
}

package unionfs

import (
	"errors"
	"io/fs"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/layerpack"
)

// status turns an error into the errno the kernel is told. It is the only
// place where that happens. What carries no errno is EIO: it came from a
// damaged index or from a bug, and neither is the caller's fault.
func status(err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	var errno unix.Errno
	switch {
	case errors.As(err, &errno):
		return fuse.Status(errno)
	case errors.Is(err, fs.ErrNotExist):
		return fuse.ENOENT
	case errors.Is(err, fs.ErrExist):
		return fuse.Status(unix.EEXIST)
	case errors.Is(err, fs.ErrPermission):
		return fuse.EPERM
	case errors.Is(err, layerpack.ErrNoXattr):
		return fuse.ENODATA
	}
	return fuse.EIO
}

// isErrno tells whether err is one of errnos.
func isErrno(err error, errnos ...unix.Errno) bool {
	var e unix.Errno
	if !errors.As(err, &e) {
		return false
	}
	for _, want := range errnos {
		if e == want {
			return true
		}
	}
	return false
}

// eintr repeats f for as long as a signal interrupts it.
func eintr(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

package layerpack

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// content copies the data of n from its layer's tar into fd, and leaves holes
// where it has some.
func (x *extraction) content(fd int, n *node) error {
	if n.size == 0 {
		return nil
	}
	if n.ext != nil && n.ext.holes {
		if err := again(func() error { return unix.Ftruncate(fd, n.size) }); err != nil {
			return fmt.Errorf("truncate to %d bytes: %w", n.size, err)
		}
	}
	tar, err := x.tar(n.layer)
	if err != nil {
		return err
	}
	for _, r := range n.dataRuns() {
		if err := x.copy(fd, r.off, tar, r.tar, r.len); err != nil {
			return fmt.Errorf("copy %d bytes from %s at %d: %w", r.len, tar.Name(), r.tar, err)
		}
		x.out.Bytes += r.len
	}
	return nil
}

// copy copies n bytes within the kernel, which shares the blocks where the
// filesystem can, or else through memory.
func (x *extraction) copy(fd int, to int64, tar *os.File, from, n int64) error {
	for n > 0 {
		if x.ctx.Err() != nil {
			return context.Cause(x.ctx)
		}
		done, err := unix.CopyFileRange(int(tar.Fd()), &from, fd, &to, int(min(n, 1<<30)), 0)
		switch {
		case err == unix.EINTR:
		case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPERM):
			return x.copyMemory(fd, to, tar, from, n)
		case err != nil:
			return err
		case done == 0:
			return fmt.Errorf("%w: the tar is too short", ErrCorrupt)
		default:
			n -= int64(done)
		}
	}
	return nil
}

func (x *extraction) copyMemory(fd int, to int64, tar *os.File, from, n int64) error {
	if x.buf == nil {
		x.buf = make([]byte, 256<<10)
	}
	for n > 0 {
		if x.ctx.Err() != nil {
			return context.Cause(x.ctx)
		}
		k, err := tar.ReadAt(x.buf[:min(n, int64(len(x.buf)))], from)
		if k == 0 {
			return fmt.Errorf("%w: the tar is too short: %w", ErrCorrupt, err)
		}
		for b := x.buf[:k]; len(b) > 0; {
			w, err := unix.Pwrite(fd, b, to)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return err
			}
			b, to = b[w:], to+int64(w)
		}
		from, n = from+int64(k), n-int64(k)
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

// openat opens name in the directory dir.
func openat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

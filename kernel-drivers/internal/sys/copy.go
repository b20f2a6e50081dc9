package sys

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A Copier copies contents of files within a filesystem. The zero Copier is ready.
type Copier struct {
	noClone bool // a reflink has failed: what can't be done for one file can't be for the next
}

// Copy gives the empty file out the first size bytes of in, all there are: by reflink where that
// works, else what is no hole.
func (c *Copier) Copy(ctx context.Context, in, out int, size int64) error {
	if size == 0 {
		return nil
	}
	if !c.noClone {
		if err := Again(func() error { return unix.IoctlFileClone(out, in) }); err == nil {
			return nil
		}
		c.noClone = true
	}
	if err := Again(func() error { return unix.Ftruncate(out, size) }); err != nil {
		return err
	}
	for off := int64(0); off < size; {
		start, err := unix.Seek(in, off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // a hole up to the end
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(in, start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := stretch(ctx, in, out, start, end-start); err != nil {
			return err
		}
		off = end
	}
	return nil
}

// stretch copies n bytes at off.
func stretch(ctx context.Context, in, out int, off, n int64) error {
	to := off
	for n > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		done, err := unix.CopyFileRange(in, &off, out, &to, int(min(n, 1<<30)), 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if done == 0 {
			return fmt.Errorf("the file ends %d bytes too early", n)
		}
		n -= int64(done)
	}
	return nil
}

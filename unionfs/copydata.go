package unionfs

import (
	"io"

	"golang.org/x/sys/unix"
)

// preadFull reads until b is full or the file ends.
func preadFull(fd int, b []byte, off int64) (int, error) {
	var done int
	for done < len(b) {
		n, err := unix.Pread(fd, b[done:], off+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, err
		}
		if n == 0 {
			break
		}
		done += n
	}
	return done, nil
}

// pwriteFull writes all of b. On an error the bytes written before it count.
func pwriteFull(fd int, b []byte, off int64) (int, error) {
	var done int
	for done < len(b) {
		n, err := unix.Pwrite(fd, b[done:], off+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// copyRange copies length bytes, within the kernel where it can (which shares
// the blocks on filesystems that are able to), by hand where not.
func copyRange(src int, srcOff int64, dst int, dstOff, length int64) error {
	for length > 0 {
		so, do := srcOff, dstOff
		n, err := unix.CopyFileRange(src, &so, dst, &do, int(min(length, 1<<30)), 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil && !isErrno(err, unix.EXDEV, unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM, unix.EBADF) {
			return err
		}
		if err != nil || n == 0 {
			return copyByHand(src, srcOff, dst, dstOff, length)
		}
		srcOff, dstOff, length = srcOff+int64(n), dstOff+int64(n), length-int64(n)
	}
	return nil
}

func copyByHand(src int, srcOff int64, dst int, dstOff, length int64) error {
	buf := make([]byte, min(256<<10, length))
	for length > 0 {
		b := buf[:min(int64(len(buf)), length)]
		n, err := preadFull(src, b, srcOff)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		if _, err := pwriteFull(dst, b[:n], dstOff); err != nil {
			return err
		}
		srcOff, dstOff, length = srcOff+int64(n), dstOff+int64(n), length-int64(n)
	}
	return nil
}

// copySparse copies the data of src up to size, seeking from data to data.
func copySparse(src, dst int, size int64) error {
	for at := int64(0); at < size; {
		data, err := unix.Seek(src, at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break // a hole to the end
		}
		if err != nil {
			data = at // the filesystem knows no holes
		}
		hole, err := unix.Seek(src, data, unix.SEEK_HOLE)
		if err != nil {
			hole = size
		}
		hole = min(hole, size)
		if data >= size {
			break
		}
		if err := copyRange(src, data, dst, data, hole-data); err != nil {
			return err
		}
		at = hole
	}
	return unix.Ftruncate(dst, size)
}

package cow

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// fileData is a file on disk as [Data].
type fileData struct {
	fd   int
	size int64 // bytes, as a stat had told
}

func (f *fileData) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		k, err := unix.Pread(f.fd, b[n:], off+int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case k == 0:
			return n, io.EOF
		default:
			n += k
		}
	}
	return n, nil
}

func (f *fileData) Close() error { return unix.Close(f.fd) }

// Extents implements [Data]. A filesystem that can't tell has no holes.
func (f *fileData) Extents() ([]Extent, error) {
	var out []Extent
	for off := int64(0); off < f.size; {
		hole, err := seek(f.fd, off, unix.SEEK_HOLE)
		if off == 0 && (err != nil || hole >= f.size) {
			if err == nil || err == unix.EINVAL {
				return []Extent{{0, f.size}}, nil
			}
			return nil, fmt.Errorf("looking for holes: %w", err)
		}
		if err == nil && hole > off {
			out = append(out, Extent{off, min(hole, f.size) - off})
			off = hole
			continue
		}
		if err == nil {
			off, err = seek(f.fd, off, unix.SEEK_DATA)
		}
		if err == unix.ENXIO {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("looking for holes: %w", err)
		}
	}
	return out, nil
}

func seek(fd int, off int64, whence int) (at int64, err error) {
	err = retry(func() (err error) { at, err = unix.Seek(fd, off, whence); return err })
	return at, err
}

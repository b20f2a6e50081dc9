package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// tarFile is a plain tar on disk, read where it lies.
type tarFile struct {
	*table
	f *os.File
}

func (t *tarFile) File(name string) (File, error) { return t.find(name) }
func (t *tarFile) Close() error                   { return t.f.Close() }

// openTarFile reads the headers of a tar. It owns f, from now on if it succeeds.
func openTarFile(ctx context.Context, f *os.File) (Files, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	t := &tarFile{newTable(), f}
	// The reader seeks over data, and its position after a header is where the data begins.
	sr := io.NewSectionReader(f, 0, fi.Size())
	err = walkTar(ctx, sr, t.table, func(name string, h *tar.Header, _ io.Reader) (File, error) {
		off, err := sr.Seek(0, io.SeekCurrent)
		if err != nil {
			return File{}, err
		}
		if off+h.Size > fi.Size() {
			return File{}, fmt.Errorf("%w: it ends within %s", ErrInvalid, name)
		}
		size := h.Size
		return File{Size: size, open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(f, off, size)), nil
		}}, nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// walkTar fills a table from a tar; keep turns an entry with data into a File.
func walkTar(ctx context.Context, r io.Reader, t *table, keep func(name string, h *tar.Header, r io.Reader) (File, error)) error {
	for tr := tar.NewReader(r); ; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeLink, tar.TypeSymlink:
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		default:
			return fmt.Errorf("%w: %.200q is neither a file, a directory nor a link", ErrInvalid, h.Name)
		}
		name, err := cleanName(h.Name)
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeLink:
			target, err := cleanName(h.Linkname)
			if err != nil {
				return err
			}
			if err := t.link(name, target); err != nil {
				return err
			}
		case tar.TypeSymlink:
			target, err := symlinkTarget(name, h.Linkname)
			if err != nil {
				return err
			}
			if err := t.link(name, target); err != nil {
				return err
			}
		default:
			for k := range h.PAXRecords {
				if strings.HasPrefix(k, "GNU.sparse.") {
					return fmt.Errorf("%w: %s is a sparse file", ErrInvalid, name)
				}
			}
			f, err := keep(name, h, tr)
			if err != nil {
				return err
			}
			if err := t.add(name, f); err != nil {
				return err
			}
		}
	}
}

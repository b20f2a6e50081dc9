package bench

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// SplitTar makes n layers of one tar, by dealing its entries out in runs, so
// that they come to the same tree. It gives their paths, bottom first.
func SplitTar(path, dir string, n int) ([]string, error) {
	entries := 0
	if err := eachEntry(path, func(*tar.Header, io.Reader) error { entries++; return nil }); err != nil {
		return nil, err
	}
	var names []string
	var file *os.File
	var w *tar.Writer
	done := func() error {
		if w == nil {
			return nil
		}
		return errors.Join(w.Close(), file.Close())
	}
	i := 0
	err := eachEntry(path, func(h *tar.Header, r io.Reader) error {
		if i*n/entries == len(names) {
			if err := done(); err != nil {
				return err
			}
			names = append(names, filepath.Join(dir, fmt.Sprintf("split%d.tar", len(names))))
			var err error
			if file, err = os.Create(names[len(names)-1]); err != nil {
				return err
			}
			w = tar.NewWriter(file)
		}
		i++
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(w, r)
		return err
	})
	return names, errors.Join(err, done())
}

func eachEntry(path string, fn func(*tar.Header, io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = fn(h, r)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}

package bench

import (
	"errors"
	"io"
	"os"
)

// Repeated reads files one after the other, and again from the first: data
// like theirs, as much as is wanted.
type Repeated struct {
	Paths []string
	next  int
	f     *os.File
}

// Read implements [io.Reader].
func (r *Repeated) Read(p []byte) (int, error) {
	for {
		if r.f == nil {
			f, err := os.Open(r.Paths[r.next%len(r.Paths)])
			if err != nil {
				return 0, err
			}
			r.f, r.next = f, r.next+1
		}
		n, err := r.f.Read(p)
		if err != io.EOF {
			return n, err
		}
		if err := r.Close(); err != nil {
			return 0, err
		}
	}
}

// Close closes the file that is being read; the next Read opens another.
func (r *Repeated) Close() error {
	if r.f == nil {
		return nil
	}
	err := r.f.Close()
	r.f = nil
	return err
}

// WriteFile makes a file of the next n bytes.
func (r *Repeated) WriteFile(path string, n int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, r, n)
	return errors.Join(err, f.Close())
}

package archive

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// dir is an archive that lies open. Links are followed as long as they stay
// below it.
type dir struct{ root *os.Root }

func openDir(path string) (Files, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &dir{root}, nil
}

func (d *dir) Close() error { return d.root.Close() }

func (d *dir) File(name string) (File, error) {
	name, err := cleanName(name)
	if err != nil {
		return File{}, err
	}
	f, err := d.open(name)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return File{}, err
	}
	return File{Size: fi.Size(), open: func() (io.ReadCloser, error) { return d.open(name) }}, nil
}

func (d *dir) Top() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(MaxEntries)
	if errors.Is(err, io.EOF) {
		err = nil // there are none
	}
	return names, err
}

// open never waits for a FIFO's writer, and gives regular files only.
func (d *dir) open(name string) (*os.File, error) {
	f, err := d.root.OpenFile(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is not a regular file", ErrInvalid, name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

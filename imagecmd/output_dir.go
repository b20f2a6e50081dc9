package imagecmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/durable"
)

// An outputDir is a directory that a command was told to write. Until it is whole
// it has a hidden name beside its own, always the same, so that what a killed
// process left there is taken over and not collected.
type outputDir struct {
	path   string
	hidden string
	lock   *os.File // flock(2), exclusive, on the hidden directory
}

// createOutputDir begins the directory at path, where nothing may be but an empty
// one.
func createOutputDir(path string) (*outputDir, error) {
	path = filepath.Clean(path)
	if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("invalid output path: directory %q does not exist", filepath.Dir(path))
	}
	switch left, err := os.ReadDir(path); {
	case errors.Is(err, os.ErrNotExist):
	case errors.Is(err, unix.ENOTDIR):
		return nil, fmt.Errorf("invalid output path: %q is not a directory", path)
	case err != nil:
		return nil, err
	case len(left) > 0:
		return nil, fmt.Errorf("invalid output path: directory %q is not empty", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	o := &outputDir{path: abs, hidden: filepath.Join(filepath.Dir(abs), "."+filepath.Base(abs)+".part")}
	for o.lock == nil {
		if err := o.claim(); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// claim makes the hidden directory, or takes it over, and locks it. The lock is
// nil when the directory went away meanwhile.
func (o *outputDir) claim() error {
	if err := os.Mkdir(o.hidden, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	f, err := os.OpenFile(o.hidden, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		f.Close()
		return fmt.Errorf("invalid output path: %q is being written by another process", o.path)
	}
	have, serr := f.Stat()
	if err := errors.Join(err, serr); err != nil {
		f.Close()
		return err
	}
	if now, err := os.Lstat(o.hidden); err != nil || !os.SameFile(have, now) {
		f.Close()
		return nil
	}
	left, err := os.ReadDir(o.hidden)
	for _, e := range left {
		if err == nil {
			err = os.RemoveAll(filepath.Join(o.hidden, e.Name()))
		}
	}
	if err != nil {
		f.Close()
		return err
	}
	o.lock = f
	return nil
}

// commit gives the directory, whose contents are durable, its name.
func (o *outputDir) commit() error {
	// Not os.Rename, which does not replace an empty directory.
	if err := unix.Rename(o.hidden, o.path); err != nil {
		o.abandon()
		return &os.LinkError{Op: "rename", Old: o.hidden, New: o.path, Err: err}
	}
	return errors.Join(durable.SyncDir(filepath.Dir(o.path)), o.lock.Close())
}

// abandon leaves nothing of the directory.
func (o *outputDir) abandon() {
	os.RemoveAll(o.hidden)
	o.lock.Close()
}

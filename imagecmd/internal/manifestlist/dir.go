package manifestlist

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/durable"
	"github.com/cfs-project/cfs/internal/reference"
)

// A Dir is where lists are kept. It need not be there to be read.
type Dir string

// A NotFoundError is that there is no list of that name, or no such image in one. It
// is fs.ErrNotExist.
type NotFoundError struct{ Name string }

func (e *NotFoundError) Error() string        { return "No such manifest: " + e.Name } // Docker's words
func (e *NotFoundError) Is(target error) bool { return target == fs.ErrNotExist }

func (d Dir) path(name reference.Named) string {
	return filepath.Join(string(d), digest.FromString(name.String()).Encoded()+".json")
}

// Read gives the list of that name, or a [*NotFoundError].
func (d Dir) Read(name reference.Named) (*List, error) {
	raw, err := os.ReadFile(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NotFoundError{name.String()}
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest list %s: %w", name, err)
	}
	l := &List{}
	if err := json.Unmarshal(raw, l); err != nil || l.Name != name.String() {
		return nil, fmt.Errorf("read manifest list %s: %s is damaged; remove the list and create it again", name, d.path(name))
	}
	return l, nil
}

// Change has fn change a list, which is nil where there is none, and keeps what it
// returns.
func (d Dir) Change(name reference.Named, fn func(l *List) (*List, error)) error {
	return d.locked(func() error {
		l, err := d.Read(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if l, err = fn(l); err != nil {
			return err
		}
		raw, err := json.Marshal(l)
		if err != nil {
			return err
		}
		if err := renameio.WriteFile(d.path(name), raw, 0o600, renameio.WithTempDir(string(d))); err != nil {
			return fmt.Errorf("keep manifest list %s: %w", name, err)
		}
		return nil
	})
}

// Remove removes a list, also a damaged one; a [*NotFoundError] where there is none.
func (d Dir) Remove(name reference.Named) error {
	if _, err := os.Lstat(d.path(name)); errors.Is(err, fs.ErrNotExist) {
		return &NotFoundError{name.String()} // without making the directory
	}
	return d.locked(func() error {
		err := os.Remove(d.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			return &NotFoundError{name.String()}
		}
		return err
	})
}

// locked runs fn, which may change what is in the directory, alone.
func (d Dir) locked(fn func() error) error {
	// The root may be passed through by others, as the store has it.
	if err := errors.Join(os.MkdirAll(filepath.Dir(string(d)), 0o711), os.MkdirAll(string(d), 0o700)); err != nil {
		return err
	}
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return fmt.Errorf("lock %s: %w", d, err)
		}
	}
	if err := fn(); err != nil {
		return err
	}
	return durable.SyncDir(string(d))
}

package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/durable"
)

// A temp is a file or directory below tmp/, locked exclusively through f. It
// either gets its final name (publish) or goes (discard).
type temp struct {
	path string
	f    *os.File // the lock; for a file also where it is written
	done bool
}

func randomName(prefix string) string {
	var b [8]byte
	rand.Read(b[:])
	return prefix + "-" + hex.EncodeToString(b[:])
}

// tempFile makes an empty file to be written.
func (s *Store) tempFile(prefix string) (*temp, error) {
	for {
		path := filepath.Join(s.tmp(), randomName(prefix))
		f, err := os.OpenFile(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, err
		}
		if t, err := lockTemp(f, path); t != nil || err != nil {
			return t, err
		}
	}
}

// tempDir makes an empty directory that no other process has.
func (s *Store) tempDir(prefix string) (*temp, error) {
	for {
		path := filepath.Join(s.tmp(), randomName(prefix))
		if err := os.Mkdir(path, 0o700); err != nil {
			return nil, err
		}
		f, err := openObject(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // swept before it was locked
		}
		if err != nil {
			return nil, err
		}
		if t, err := lockTemp(f, path); t != nil || err != nil {
			return t, err
		}
	}
}

// lockTemp returns nil, nil when a sweeper was faster.
func lockTemp(f *os.File, path string) (*temp, error) {
	ok, err := flock(f, unix.LOCK_EX)
	if ok {
		ok, err = isAt(f, path)
	}
	if !ok || err != nil {
		f.Close()
		return nil, err
	}
	return &temp{path: path, f: f}, nil
}

// claimDir makes the directory of that name, empty, and waits for its lock: of
// all processes that want to build one object only one does at a time. When
// the builder before has published its directory, its inode is gone from tmp/
// and the caller gets a new one; it looks for the object first.
func (s *Store) claimDir(ctx context.Context, name string) (*temp, error) {
	path := filepath.Join(s.tmp(), name)
	for {
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		f, err := openObject(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		at, err := flockAt(ctx, f, path)
		if err != nil {
			f.Close()
			return nil, err
		}
		if !at {
			f.Close()
			continue
		}
		t := &temp{path: path, f: f}
		left, err := os.ReadDir(path)
		for _, e := range left { // a killed builder's
			if err == nil {
				err = os.RemoveAll(filepath.Join(path, e.Name()))
			}
		}
		if err != nil {
			t.discard()
			return nil, err
		}
		return t, nil
	}
}

// publish gives the temp its final name, durably, unless there is something of
// that name already: then it answers fs.ErrExist and the caller discards. What
// it holds must be synced. The lock becomes a lease, which the caller owns.
func (t *temp) publish(path string) (*os.File, error) {
	if err := renameNew(t.path, path); err != nil {
		return nil, err
	}
	t.done = true
	err := durable.SyncDir(filepath.Dir(path))
	if err == nil {
		var ok bool
		if ok, err = flock(t.f, unix.LOCK_SH); err == nil && !ok {
			err = fs.ErrExist // a removal was faster between the two locks
		}
	}
	if err != nil {
		t.f.Close()
		return nil, err
	}
	return t.f, nil
}

// discard removes the temp unless it was published. The lock goes last.
func (t *temp) discard() {
	if t == nil || t.done {
		return
	}
	t.done = true
	os.RemoveAll(t.path)
	t.f.Close()
}

// sweep removes what is below tmp/ and locked by nobody.
func (s *Store) sweep() error {
	entries, err := os.ReadDir(s.tmp())
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(s.tmp(), e.Name())
		f, err := seize(path)
		if err != nil {
			return err
		}
		if f == nil {
			continue
		}
		err = os.RemoveAll(path)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

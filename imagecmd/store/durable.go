package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/durable"
)

// renameNew renames without replacing: fs.ErrExist when to is there.
func renameNew(from, to string) error {
	for {
		err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EINVAL):
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
		// A filesystem without the flag. A directory never replaces one that
		// holds something, and a link never replaces.
		fi, err := os.Lstat(from)
		if err != nil {
			return err
		}
		if fi.IsDir() {
			err := os.Rename(from, to)
			if errors.Is(err, unix.ENOTEMPTY) {
				return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
			}
			return err
		}
		if err := os.Link(from, to); err != nil {
			return err
		}
		return os.Remove(from)
	}
}

// replaceFile puts data at path, durably and at once, whatever was there.
func (s *Store) replaceFile(ctx context.Context, path string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t, err := s.tempFile("file")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	defer t.discard()
	if _, err := t.f.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	// Other tools read the layout, perhaps as other users; blobs are as the directories let them.
	if err := t.f.Chmod(0o644); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := t.f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := os.Rename(t.path, path); err != nil {
		return err
	}
	t.done = true
	t.f.Close()
	return durable.SyncDir(filepath.Dir(path))
}

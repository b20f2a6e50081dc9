package imagecmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// inPlace tells whether path, at which fi is, is to be written where it is, and neither replaced nor removed: what is no
// file, such as a pipe, and what is open already, such as /dev/stdout, whatever that is.
func inPlace(path string, fi os.FileInfo) bool {
	return !fi.Mode().IsRegular() || isOpen(path)
}

// isOpen tells whether path names, maybe by links, a descriptor of a process: /proc/PID/fd/N.
func isOpen(path string) bool {
	for range 40 { // as many links as the kernel follows
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return false
		}
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil || fs.Type == unix.PROC_SUPER_MAGIC {
			return err == nil
		}
		to, err := os.Readlink(filepath.Join(dir, filepath.Base(path)))
		if err != nil {
			return false
		}
		if path = to; !filepath.IsAbs(to) {
			path = filepath.Join(dir, to)
		}
	}
	return false
}

// checkNote tells, before there is a result, whether writeNote could write of it to path.
func checkNote(path string) error {
	if fi, err := os.Stat(filepath.Dir(path)); err != nil || !fi.IsDir() {
		return fmt.Errorf("%s: there is no directory %s", path, filepath.Dir(path))
	}
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		return &fs.PathError{Op: "open", Path: path, Err: unix.EISDIR}
	}
	return nil
}

// removeNote removes what was written of an earlier result.
func removeNote(path string) error {
	fi, err := os.Stat(path)
	if err == nil && inPlace(path, fi) {
		return nil
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeNote writes what there is to say of a result to path, all at once, where that is a file.
func writeNote(path string, note []byte) error {
	fi, err := os.Stat(path)
	switch {
	case err == nil && inPlace(path, fi):
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(note)
		return errors.Join(err, f.Close())
	case err == nil:
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
	}
	return renameio.WriteFile(path, note, 0o644, renameio.WithTempDir(filepath.Dir(path)))
}

package tree

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// maxDepth is how many directories are open at once while a tree is removed;
// what lies deeper is moved up first.
const maxDepth = 256

// Remove removes name in the directory dir with all it holds. That either
// is not there is no error. No symlink is followed, and directories that their owner can't enter
// are opened up.
func Remove(dir, name string) error {
	fd, err := sys.Open(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(fd)
	r := remover{}
	if err := r.remove(fd, name, 0); err != nil {
		return fmt.Errorf("remove %s/%s: %w", dir, name, err)
	}
	return nil
}

// Empty removes what the directory holds.
func Empty(dir string) error {
	fd, err := sys.OpenDir(unix.AT_FDCWD, dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(fd)
	r := remover{}
	if err := r.empty(fd, 0); err != nil {
		return fmt.Errorf("empty %s: %w", dir, err)
	}
	return nil
}

type remover struct {
	base  int // the outermost directory that is emptied, for what is moved up
	moved int
}

func (r *remover) remove(dir int, name string, depth int) error {
	err := sys.Again(func() error { return unix.Unlinkat(dir, name, 0) })
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	fd, oerr := openEvenLocked(dir, name)
	if errors.Is(oerr, unix.ENOTDIR) || errors.Is(oerr, unix.ELOOP) {
		return err // no directory: why unlink failed is what counts
	}
	if oerr != nil {
		return oerr
	}
	err = r.empty(fd, depth)
	unix.Close(fd)
	if err != nil {
		return err
	}
	err = sys.Again(func() error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// openEvenLocked opens a directory, and gives its owner the right to if that
// is what fails.
func openEvenLocked(dir int, name string) (int, error) {
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW
	fd, err := sys.Open(dir, name, flags)
	if err == nil {
		// Reading it is not all: names in it have to be removable.
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&0o300 != 0o300 {
			unix.Fchmod(fd, 0o700) // if that fails, so does the removal
		}
		return fd, nil
	}
	if !errors.Is(err, unix.EACCES) {
		return -1, err
	}
	at, perr := sys.Open(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if perr != nil {
		return -1, perr
	}
	defer unix.Close(at)
	if sys.Again(func() error { return unix.Chmod(sys.ProcPath(at), 0o700) }) != nil {
		return -1, err
	}
	return sys.Open(dir, name, flags)
}

func (r *remover) empty(fd, depth int) error {
	if depth == 0 {
		r.base = fd
	}
	for {
		names, err := sys.ReadNames(fd)
		if err != nil || len(names) == 0 {
			return err
		}
		for _, name := range names {
			if depth < maxDepth {
				if err := r.remove(fd, name, depth+1); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				continue
			}
			// Moving a directory changes its "..", which takes the right to write to it.
			if sub, err := openEvenLocked(fd, name); err == nil {
				unix.Close(sub)
			}
			if err := r.moveUp(fd, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if depth > 0 {
			return nil
		}
		// What was moved up is listed in the next round.
	}
}

// moveUp moves a directory to where it does not lie so deep.
func (r *remover) moveUp(dir int, name string) error {
	for {
		r.moved++
		up := ".removing." + strconv.Itoa(r.moved)
		err := sys.Again(func() error { return unix.Renameat2(dir, name, r.base, up, unix.RENAME_NOREPLACE) })
		if !errors.Is(err, unix.EEXIST) { // one is left from a process that was killed
			return err
		}
	}
}

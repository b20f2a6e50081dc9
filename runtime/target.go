package runtime

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// A rootDir is a container's root directory, by descriptor. The files below it
// are hostile: every method resolves names as if the root were "/", so that no
// symlink or ".." leads out of it (openat2(2), RESOLVE_IN_ROOT), and none goes
// through a magic link such as /proc/self/fd/3.
type rootDir struct{ fd int }

// open opens name below the root. The flags are those of openat2; O_CLOEXEC is added.
func (r rootDir) open(name string, flags int, mode uint32) (int, error) {
	return r.openHow(name, flags, mode, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

// openPlain is open for a name no part of which may be a symlink.
func (r rootDir) openPlain(name string, flags int) (int, error) {
	return r.openHow(name, flags, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS|unix.RESOLVE_NO_SYMLINKS)
}

func (r rootDir) openHow(name string, flags int, mode uint32, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Mode: uint64(mode), Resolve: resolve}
	for {
		fd, err := unix.Openat2(r.fd, inRoot(name), &how)
		// EAGAIN: a rename raced with the resolution of "..", and the kernel can't be sure.
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		return fd, err
	}
}

// inRoot turns a path of the container into one relative to the root descriptor.
func inRoot(name string) string {
	name = path.Clean("/" + name)
	if name == "/" {
		return "."
	}
	return name[1:]
}

// mkdirAll opens the directory name, O_PATH, after making what is missing of it
// with mode 0755. Existing parts may be symlinks inside the root; a dangling one is an error.
func (r rootDir) mkdirAll(name string) (int, error) {
	parts := strings.Split(inRoot(name), "/")
	// The deepest part that exists. Usually that is all of it.
	have := len(parts)
	var fd int
	for {
		var err error
		fd, err = r.open(path.Join(parts[:have]...), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err == nil {
			break
		}
		if err != unix.ENOENT || have == 0 {
			return -1, fmt.Errorf("make directory %s: %w", name, err)
		}
		have--
	}
	for _, p := range parts[have:] {
		next, err := mkdirOpen(fd, p)
		unix.Close(fd)
		if err != nil {
			return -1, fmt.Errorf("make directory %s: %w", name, err)
		}
		fd = next
	}
	return fd, nil
}

// mkdirOpen makes one directory and opens it. Losing a race against somebody who
// makes the same directory is fine; finding a symlink is not.
func mkdirOpen(dir int, name string) (int, error) {
	if err := unix.Mkdirat(dir, name, 0o755); err != nil && err != unix.EEXIST {
		return -1, err
	}
	return unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// mkfile opens the file name, O_PATH, after making it, empty, and its parents
// if it is missing.
func (r rootDir) mkfile(name string) (int, error) {
	fd, err := r.open(name, unix.O_PATH, 0)
	if err == nil {
		return fd, nil
	}
	if !errors.Is(err, unix.ENOENT) {
		return -1, fmt.Errorf("make file %s: %w", name, err)
	}
	dir, base := path.Split(inRoot(name))
	dfd, err := r.mkdirAll(dir)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dfd)
	fd, err = unix.Openat(dfd, base, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return -1, fmt.Errorf("make file %s: %w", name, err)
	}
	return fd, nil
}

package imagecmd

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// A rootedAt is a directory, by descriptor, that is "/" for every name: no symlink and
// no ".." leads out of it, also while somebody in it moves them about, and none through
// a magic link such as /proc/self/fd/3 (openat2(2)).
type rootedAt int

// open opens a name. The flags are those of open(2); O_CLOEXEC is added.
func (r rootedAt) open(name string, flags int) (*os.File, error) {
	return openHow(int(r), "./"+strings.TrimLeft(name, "/"), flags, unix.RESOLVE_IN_ROOT)
}

// openWithin opens a name below a directory, no part of which may be a symlink or
// lead out of it.
func openWithin(dir *os.File, name string, flags int) (*os.File, error) {
	return openHow(int(dir.Fd()), "./"+name, flags|unix.O_NOFOLLOW, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
}

func openHow(dir int, name string, flags int, resolve uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(dir, name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN): // a rename raced with the resolution of ".."
			continue
		}
		return nil, &os.PathError{Op: "open", Path: strings.TrimPrefix(name, "."), Err: err}
	}
}

// maxLinks is how many symlinks lead to a name at most, as in the kernel (path_resolution(7)).
const maxLinks = 40

// settle finds the directory that a name is in, and what it is called there, behind
// all links: also where nothing is of that name yet.
func (r rootedAt) settle(name string) (parent *os.File, base string, err error) {
	for range maxLinks {
		name = strings.TrimRight(name, "/")
		dir, base := path.Split(name)
		parent, err := r.open(dir, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return nil, "", err
		}
		target, err := readlinkAt(parent, base)
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT): // no link, or nothing
			return parent, base, nil
		case err != nil:
			parent.Close()
			return nil, "", &os.PathError{Op: "readlink", Path: name, Err: err}
		}
		parent.Close()
		if name = target; !path.IsAbs(target) {
			name = dir + target
		}
	}
	return nil, "", &os.PathError{Op: "open", Path: name, Err: unix.ELOOP}
}

// mkdirs opens a directory after making what is missing of it.
func (r rootedAt) mkdirs(name string) (*os.File, error) {
	dir, err := r.open(name, unix.O_PATH|unix.O_DIRECTORY)
	if !errors.Is(err, unix.ENOENT) || name == "" {
		return dir, err
	}
	parent, base := path.Split(strings.TrimRight(name, "/"))
	above, err := r.mkdirs(parent)
	if err != nil {
		return nil, err
	}
	defer above.Close()
	if err := unix.Mkdirat(int(above.Fd()), base, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	return r.open(name, unix.O_PATH|unix.O_DIRECTORY)
}

// readlinkAt reads a symlink in a directory. EINVAL: it is none.
func readlinkAt(dir *os.File, name string) (string, error) {
	var target [unix.PathMax]byte
	n, err := unix.Readlinkat(int(dir.Fd()), name, target[:])
	return string(target[:max(n, 0)]), err
}

// procPath names what a descriptor is opened on, for calls that take a path.
func procPath(f *os.File) string { return fdPath(int(f.Fd())) }

package unionfs

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// at is where an object of the upper or work directory is found: a name in an
// open directory, or, with an empty name, the object dirfd itself is open on
// (O_PATH suffices). No method follows a symlink.
type at struct {
	dirfd int
	name  string
}

// path leads to the object through the process's own descriptors; there is no
// call that takes a directory descriptor for it.
func (a at) path() string {
	p := "/proc/self/fd/" + strconv.Itoa(a.dirfd)
	if a.name != "" {
		p += "/" + a.name
	}
	return p
}

func (a at) flags() int {
	if a.name == "" {
		return unix.AT_SYMLINK_NOFOLLOW | unix.AT_EMPTY_PATH
	}
	return unix.AT_SYMLINK_NOFOLLOW
}

func (a at) stat(st *unix.Stat_t) error {
	return eintr(func() error { return unix.Fstatat(a.dirfd, a.name, st, a.flags()) })
}

// open opens the object; a symlink fails with ELOOP.
func (a at) open(flags int) (int, error) {
	var fd int
	err := eintr(func() (err error) {
		if a.name == "" {
			fd, err = unix.Open(a.path(), flags|unix.O_CLOEXEC, 0)
		} else {
			fd, err = unix.Openat(a.dirfd, a.name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		}
		return err
	})
	return fd, err
}

func (a at) chown(uid, gid int) error {
	return unix.Fchownat(a.dirfd, a.name, uid, gid, a.flags())
}

// chmod must not be called on a symlink.
func (a at) chmod(perm uint32) error {
	if a.name == "" {
		return unix.Chmod(a.path(), perm)
	}
	return unix.Fchmodat(a.dirfd, a.name, perm, 0)
}

func (a at) utimens(atime, mtime unix.Timespec) error {
	ts := []unix.Timespec{atime, mtime}
	if a.name == "" {
		return unix.UtimesNanoAt(unix.AT_FDCWD, a.path(), ts, 0)
	}
	return unix.UtimesNanoAt(a.dirfd, a.name, ts, unix.AT_SYMLINK_NOFOLLOW)
}

// getxattr returns the value of an attribute: ENODATA when there is none.
func (a at) getxattr(name string) ([]byte, error) {
	get := unix.Lgetxattr
	if a.name == "" {
		get = unix.Getxattr // the last step of path is a link to the object, not to its target
	}
	path := a.path()
	for buf := make([]byte, 256); ; {
		n, err := get(path, name, buf)
		switch {
		case err == nil:
			return buf[:n], nil
		case err != unix.ERANGE:
			return nil, err
		}
		if n, err = get(path, name, nil); err != nil {
			return nil, err
		}
		buf = make([]byte, n+16)
	}
}

func (a at) setxattr(name string, value []byte, flags int) error {
	if a.name == "" {
		return unix.Setxattr(a.path(), name, value, flags)
	}
	return unix.Lsetxattr(a.path(), name, value, flags)
}

func (a at) removexattr(name string) error {
	if a.name == "" {
		return unix.Removexattr(a.path(), name)
	}
	return unix.Lremovexattr(a.path(), name)
}

// listxattr returns the names of the attributes; none where the filesystem has
// no attributes.
func (a at) listxattr() ([]string, error) {
	list := unix.Llistxattr
	if a.name == "" {
		list = unix.Listxattr
	}
	path := a.path()
	var small [512]byte
	for buf := small[:]; ; {
		n, err := list(path, buf)
		switch {
		case err == nil && n == 0, isErrno(err, unix.EOPNOTSUPP):
			return nil, nil
		case err == nil:
			return strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00"), nil
		case err != unix.ERANGE:
			return nil, err
		}
		if n, err = list(path, nil); err != nil {
			return nil, err
		}
		buf = make([]byte, n+256)
	}
}

func (a at) readlink() (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(a.dirfd, a.name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

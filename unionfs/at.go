package unionfs

import (
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// at is where an object of the upper or work directory is found: a name in an
// open directory, or, with an empty name, the object dirfd itself is open on
// (O_PATH suffices). No method follows a symlink.
type at struct {
	dirfd int
	name  string
}

// path leads to the object through the process's own descriptors, for what has no
// call that takes a directory descriptor, or none that takes an O_PATH one.
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
	var small [512]byte
	for buf := small[:]; ; {
		n, err := a.listxattrInto(buf)
		switch {
		case err == nil && n == 0, isErrno(err, unix.EOPNOTSUPP):
			return nil, nil
		case err == nil:
			return strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00"), nil
		case err != unix.ERANGE:
			return nil, err
		}
		if n, err = a.listxattrInto(nil); err != nil {
			return nil, err
		}
		buf = make([]byte, n+256)
	}
}

// listxattrInto writes the names of the attributes to buf, each with a zero byte
// behind it, and returns their size in bytes; only the size without a buf. ERANGE:
// they are larger than buf.
//
// listxattrat(2), of Linux 6.13, takes a third of the CPU time of the way through
// /proc. It accepts no O_PATH descriptor for the object itself.
func (a at) listxattrInto(buf []byte) (int, error) {
	switch {
	case a.name == "":
		return unix.Listxattr(a.path(), buf)
	case hasListxattrat():
		return listxattrat(a.dirfd, a.name, buf)
	}
	return unix.Llistxattr(a.path(), buf)
}

// hasListxattrat tells whether the kernel has that call, and a filter lets it through.
var hasListxattrat = sync.OnceValue(func() bool {
	_, err := listxattrat(-1, "x", nil)
	return err == unix.EBADF
})

// listxattrat doesn't follow name.
func listxattrat(dirfd int, name string, buf []byte) (int, error) {
	path, err := unix.BytePtrFromString(name)
	if err != nil {
		return 0, err
	}
	n, _, errno := unix.Syscall6(unix.SYS_LISTXATTRAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)),
		unix.AT_SYMLINK_NOFOLLOW, uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (a at) readlink() (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(a.dirfd, a.name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

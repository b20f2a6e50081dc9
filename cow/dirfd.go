package cow

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// retry repeats f while it is interrupted.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// openDir opens directory name of dir, and no symlink.
func openDir(dir int, name string) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// fdPath names what fd is opened on, for the calls on xattrs, which take no
// directory descriptor before Linux 6.13.
func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// readNames lists the directory fd from its beginning.
func readNames(fd int) ([]string, error) {
	own, err := openDir(fd, ".")
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), "directory")
	defer f.Close()
	return f.Readdirnames(-1)
}

func attrOf(st *unix.Stat_t) Attr {
	a := Attr{Mode: st.Mode, UID: st.Uid, GID: st.Gid, Size: st.Size, Mtime: st.Mtim.Sec, MtimeNsec: uint32(st.Mtim.Nsec)}
	if t := st.Mode & unix.S_IFMT; t == unix.S_IFCHR || t == unix.S_IFBLK {
		a.Rdev = st.Rdev
	}
	return a
}

// xattrReader reads xattrs of the object at path: of the object itself, or,
// when path is that of a descriptor, of what it is opened on. An xattr that
// can't be read counts as missing.
func xattrReader(path string, follow bool) func(name string) (string, bool) {
	return func(name string) (string, bool) {
		v, err := getXattr(pathXattrs(path, follow), name)
		return v, err == nil
	}
}

// xattrCalls are the two system calls, on one object.
type xattrCalls struct {
	list func(buf []byte) (int, error)
	get  func(name string, buf []byte) (int, error)
}

func pathXattrs(path string, follow bool) xattrCalls {
	if follow {
		return xattrCalls{
			list: func(buf []byte) (int, error) { return unix.Listxattr(path, buf) },
			get:  func(name string, buf []byte) (int, error) { return unix.Getxattr(path, name, buf) },
		}
	}
	return xattrCalls{
		list: func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) },
		get:  func(name string, buf []byte) (int, error) { return unix.Lgetxattr(path, name, buf) },
	}
}

func fdXattrs(fd int) xattrCalls {
	return xattrCalls{
		list: func(buf []byte) (int, error) { return unix.Flistxattr(fd, buf) },
		get:  func(name string, buf []byte) (int, error) { return unix.Fgetxattr(fd, name, buf) },
	}
}

func getXattr(c xattrCalls, name string) (string, error) {
	b, err := grown(128, func(buf []byte) (int, error) { return c.get(name, buf) })
	return string(b), err
}

// grown calls one of the calls on xattrs, with more room while that is asked for.
func grown(size int, call func(buf []byte) (int, error)) ([]byte, error) {
	buf := make([]byte, size)
	for {
		n, err := call(buf)
		switch {
		case err == unix.EINTR:
		case err == unix.ERANGE:
			if n, err = call(nil); err != nil {
				return nil, err
			}
			buf = make([]byte, n+64)
		case err != nil:
			return nil, err
		default:
			return buf[:n], nil
		}
	}
}

// listXattrs reads all xattrs of an object; nil where it has none.
func listXattrs(c xattrCalls) (map[string]string, error) {
	list, err := grown(256, c.list)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil || len(list) == 0 {
		return nil, err
	}
	m := map[string]string{}
	for name := range strings.SplitSeq(string(list), "\x00") {
		if name == "" {
			continue
		}
		v, err := getXattr(c, name)
		if errors.Is(err, unix.ENODATA) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		m[name] = v
	}
	return m, nil
}

// readlink reads the target of the symlink called name in dir.
func readlink(dir int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	var n int
	err := retry(func() (err error) { n, err = unix.Readlinkat(dir, name, buf); return err })
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

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
		v, err := getXattr(path, name, follow)
		return v, err == nil
	}
}

func getXattr(path, name string, follow bool) (string, error) {
	get := unix.Lgetxattr
	if follow {
		get = unix.Getxattr
	}
	buf := make([]byte, 128)
	for {
		n, err := get(path, name, buf)
		switch {
		case err == unix.EINTR:
		case err == unix.ERANGE:
			if n, err = get(path, name, nil); err != nil {
				return "", err
			}
			buf = make([]byte, n+64)
		case err != nil:
			return "", err
		default:
			return string(buf[:n]), nil
		}
	}
}

// listXattrs reads all xattrs of the object at path; none where the filesystem
// has none.
func listXattrs(path string, follow bool) (map[string]string, error) {
	list := unix.Llistxattr
	if follow {
		list = unix.Listxattr
	}
	buf := make([]byte, 1024)
	var n int
	for {
		var err error
		n, err = list(path, buf)
		if err == unix.EINTR {
			continue
		}
		if err == unix.ERANGE {
			if n, err = list(path, nil); err == nil {
				buf = make([]byte, n+256)
				continue
			}
		}
		if errors.Is(err, unix.ENOTSUP) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		break
	}
	m := map[string]string{}
	for name := range strings.SplitSeq(string(buf[:n]), "\x00") {
		if name == "" {
			continue
		}
		v, err := getXattr(path, name, follow)
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

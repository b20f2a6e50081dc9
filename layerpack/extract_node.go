package layerpack

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// create writes the inode n, no directory, as name in the directory fd. path is
// where that is in the tree.
func (x *extraction) create(fd int, path, name string, n *node) error {
	if n.nlink > 1 {
		if first, ok := x.first[n]; ok {
			err := x.link(first, fd, name)
			// A filesystem that counts no further gets another copy.
			if !errors.Is(err, unix.EMLINK) {
				return err
			}
		}
	}
	var err error
	made := true
	switch n.mode & unix.S_IFMT {
	case unix.S_IFREG:
		err = x.file(fd, name, n)
	case unix.S_IFLNK:
		err = again(func() error { return unix.Symlinkat(n.target(), fd, name) })
	case unix.S_IFCHR, unix.S_IFBLK:
		made, err = x.device(fd, name, n)
	default:
		err = again(func() error { return unix.Mknodat(fd, name, n.mode&unix.S_IFMT|0o600, 0) })
	}
	if err != nil || !made {
		return err
	}
	if n.mode&unix.S_IFMT != unix.S_IFREG {
		if err := x.specialAttributes(fd, name, n); err != nil {
			return err
		}
	}
	x.out.Files++
	if n.nlink > 1 {
		x.first[n] = path
	}
	return nil
}

// file writes a regular file with its attributes.
func (x *extraction) file(dir int, name string, n *node) error {
	fd, err := openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := x.content(fd, n); err != nil {
		return err
	}
	return x.attributes(fd, n)
}

// device makes a device node; made is false if it was left out.
func (x *extraction) device(dir int, name string, n *node) (made bool, err error) {
	rdev := decodeDev(n.dev)
	if x.o.Dialect != whiteout.Plain && whiteout.IsDevice(n.mode, rdev) {
		x.out.SkippedDevices++
		return false, nil
	}
	err = again(func() error { return unix.Mknodat(dir, name, n.mode&unix.S_IFMT|0o600, int(rdev)) })
	if x.o.Rootless && errors.Is(err, unix.EPERM) {
		x.out.SkippedDevices++
		return false, nil
	}
	return err == nil, err
}

// link gives the inode that was written at path first another name.
func (x *extraction) link(first string, dir int, name string) error {
	parts := strings.Split(strings.TrimPrefix(first, "/"), "/")
	at := x.rootFD
	for _, p := range parts[:len(parts)-1] {
		next, err := openat(at, p, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if at != x.rootFD {
			unix.Close(at)
		}
		if err != nil {
			return fmt.Errorf("link to %q: %w", first, err)
		}
		at = next
	}
	err := again(func() error { return unix.Linkat(at, parts[len(parts)-1], dir, name, 0) })
	if at != x.rootFD {
		unix.Close(at)
	}
	if err != nil {
		return fmt.Errorf("link to %q: %w", first, err)
	}
	return nil
}

// mark writes what m means into the directory fd, in the dialect asked for.
func (x *extraction) mark(fd int, m whiteout.Mark) error {
	form, err := x.o.Dialect.Encode(m)
	if err != nil {
		return err
	}
	switch {
	case form.Name == "":
	case form.Mode&unix.S_IFMT == unix.S_IFCHR:
		err = again(func() error { return unix.Mknodat(fd, form.Name, form.Mode, int(form.Rdev)) })
	default:
		var f int
		if f, err = openat(fd, form.Name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600); err == nil {
			err = setMarks(f, form.Xattrs)
			unix.Close(f)
		}
	}
	if err != nil {
		return err
	}
	return setMarks(fd, form.DirXattrs)
}

// setMarks sets attributes that an overlay reads; where one already hides
// more, it stays.
func setMarks(fd int, xs []whiteout.Xattr) error {
	for _, a := range xs {
		var old [1]byte
		n, err := unix.Fgetxattr(fd, a.Name, old[:])
		if err == nil {
			a.Value = whiteout.MergeOpaque(string(old[:n]), a.Value)
		}
		if err := again(func() error { return unix.Fsetxattr(fd, a.Name, []byte(a.Value), 0) }); err != nil {
			return fmt.Errorf("set %s: %w", a.Name, err)
		}
	}
	return nil
}

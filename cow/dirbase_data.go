package cow

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// openData has f be the file of b.Data that it refers to, if it does: by a KeyMetacopy, and a
// KeyRedirect that is a path from the root of these (overlayfs.rst, "Data-only lower layers").
func (b *DirBase) openData(f *fileData) error {
	if len(b.Data) == 0 {
		return nil
	}
	ns := b.dialect.Namespace()
	xattr := xattrReader(fdPath(f.fd), true)
	redirect, _ := xattr(ns.Name(whiteout.KeyRedirect))
	if _, metacopy := xattr(ns.Name(whiteout.KeyMetacopy)); !metacopy || !strings.HasPrefix(redirect, "/") {
		return nil
	}
	for _, dir := range b.Data {
		fd, err := openObject(dir, redirect)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fmt.Errorf("its data, %s in %s: %w", redirect, dir, err)
		}
		unix.Close(f.fd)
		f.fd = fd
		return nil
	}
	return fmt.Errorf("its data, %s, are in none of %q: %w", redirect, b.Data, unix.ENOENT)
}

// openObject opens a file by its path from the directory root, for reading. No symlink is followed.
func openObject(root, name string) (fd int, err error) {
	dir, err := openDir(unix.AT_FDCWD, root)
	if err != nil {
		return -1, err
	}
	defer func() { unix.Close(dir) }()
	elems := strings.Split(strings.TrimPrefix(path.Clean(name), "/"), "/")
	for _, name := range elems[:len(elems)-1] {
		sub, err := openDir(dir, name)
		if err != nil {
			return -1, err
		}
		unix.Close(dir)
		dir = sub
	}
	err = retry(func() (err error) {
		fd, err = unix.Openat(dir, elems[len(elems)-1], unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

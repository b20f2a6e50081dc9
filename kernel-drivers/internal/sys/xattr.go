package sys

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// CopyXattrs gives to the extended attributes of from, but for the host's labels
// and those that skip, which may be nil, says to leave out. Both are paths; links in
// /proc/self/fd stand for what is open.
func CopyXattrs(from, to string, skip func(name string) bool) error {
	names, err := listXattrs(from)
	if err != nil {
		return fmt.Errorf("list xattrs of %s: %w", from, err)
	}
	for _, name := range names {
		if name == "security.selinux" || skip != nil && skip(name) {
			continue
		}
		value, err := getXattr(from, name)
		if err != nil {
			return fmt.Errorf("read xattr %s of %s: %w", name, from, err)
		}
		if err := Again(func() error { return unix.Setxattr(to, name, value, 0) }); err != nil {
			return fmt.Errorf("set xattr %s of %s: %w", name, to, err)
		}
	}
	return nil
}

func listXattrs(path string) ([]string, error) {
	var n int
	err := Again(func() (err error) {
		n, err = unix.Listxattr(path, nil)
		return err
	})
	if errors.Is(err, unix.ENOTSUP) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 64<<10) // XATTR_LIST_MAX
	err = Again(func() (err error) {
		n, err = unix.Listxattr(path, buf)
		return err
	})
	if err != nil || n == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00"), nil
}

func getXattr(path, name string) ([]byte, error) {
	buf := make([]byte, 64<<10) // XATTR_SIZE_MAX
	var n int
	err := Again(func() (err error) {
		n, err = unix.Getxattr(path, name, buf)
		return err
	})
	return buf[:max(n, 0)], err
}

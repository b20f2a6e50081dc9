package overlay2

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// copyXattrs copies the xattrs of one directory to another, but for the
// overlay's own and the host's labels.
func copyXattrs(from, to string, ns whiteout.Namespace) error {
	names, err := listXattrs(from)
	if err != nil {
		return fmt.Errorf("list xattrs of %s: %w", from, err)
	}
	for _, name := range names {
		if _, own := ns.Own(name); own || name == "security.selinux" {
			continue
		}
		value, err := getXattr(from, name)
		if err != nil {
			return fmt.Errorf("read xattr %s of %s: %w", name, from, err)
		}
		if err := again(func() error { return unix.Setxattr(to, name, value, 0) }); err != nil {
			return fmt.Errorf("set xattr %s of %s: %w", name, to, err)
		}
	}
	return nil
}

func listXattrs(path string) ([]string, error) {
	buf := make([]byte, 64<<10) // XATTR_LIST_MAX
	var n int
	err := again(func() (err error) {
		n, err = unix.Llistxattr(path, buf)
		return err
	})
	if errors.Is(err, unix.ENOTSUP) || n == 0 {
		return nil, nil
	}
	return strings.Split(strings.TrimSuffix(string(buf[:max(n, 0)]), "\x00"), "\x00"), err
}

func getXattr(path, name string) ([]byte, error) {
	buf := make([]byte, 64<<10) // XATTR_SIZE_MAX
	var n int
	err := again(func() (err error) {
		n, err = unix.Lgetxattr(path, name, buf)
		return err
	})
	return buf[:max(n, 0)], err
}

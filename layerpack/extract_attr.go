package layerpack

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// attributes gives the file or directory open as fd those of n. The order
// matters: a change of owner clears setuid bits and capabilities.
func (x *extraction) attributes(fd int, n *node) error {
	if err := x.owned(again(func() error { return unix.Fchown(fd, int(n.uid), int(n.gid)) })); err != nil {
		return err
	}
	if x.onto && n.isDir() {
		if err := dropXattrs(fd, n); err != nil {
			return err
		}
	}
	if err := x.xattrs(n, func(name string, value []byte) error { return unix.Fsetxattr(fd, name, value, 0) }); err != nil {
		return err
	}
	if err := again(func() error { return unix.Fchmod(fd, n.mode&07777) }); err != nil {
		return fmt.Errorf("chmod: %w", err)
	}
	if err := again(func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, procPath(fd), times(n), 0) }); err != nil {
		return fmt.Errorf("set time: %w", err)
	}
	return nil
}

// specialAttributes does the same for what can't be opened: symbolic links,
// devices, fifos.
func (x *extraction) specialAttributes(dir int, name string, n *node) error {
	err := again(func() error {
		return unix.Fchownat(dir, name, int(n.uid), int(n.gid), unix.AT_SYMLINK_NOFOLLOW)
	})
	if err := x.owned(err); err != nil {
		return err
	}
	if len(n.xattrs()) > 0 || !n.isLink() {
		fd, err := openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		// The link in /proc leads to the inode itself, also to that of a link.
		if err := x.xattrs(n, func(name string, value []byte) error { return unix.Setxattr(procPath(fd), name, value, 0) }); err != nil {
			return err
		}
		if !n.isLink() {
			if err := again(func() error { return unix.Chmod(procPath(fd), n.mode&07777) }); err != nil {
				return fmt.Errorf("chmod: %w", err)
			}
		}
	}
	err = again(func() error { return unix.UtimesNanoAt(dir, name, times(n), unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return fmt.Errorf("set time: %w", err)
	}
	return nil
}

func times(n *node) []unix.Timespec {
	t := unix.Timespec{Sec: n.mtime, Nsec: int64(n.nsec)}
	return []unix.Timespec{t, t}
}

func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// owned takes the result of a chown.
func (x *extraction) owned(err error) error {
	if err == nil {
		return nil
	}
	if x.o.Rootless && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOVERFLOW)) {
		x.out.SkippedOwners++
		return nil
	}
	return fmt.Errorf("chown: %w", err)
}

// xattrs sets n's attributes. What the filesystem or the kernel has no place
// for is left out and counted.
func (x *extraction) xattrs(n *node, set func(name string, value []byte) error) error {
	for _, a := range n.xattrs() {
		name, ok := x.stored(a.name)
		if !ok {
			x.out.SkippedXattrs++
			continue
		}
		err := again(func() error { return set(name, []byte(a.value)) })
		switch {
		case err == nil:
		case errors.Is(err, unix.ENOTSUP), x.o.Rootless && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL)):
			x.out.SkippedXattrs++
		default:
			return fmt.Errorf("set %s: %w", a.name, err)
		}
	}
	return nil
}

// stored is the name under which an overlay in the dialect shows its users
// the attribute called name; false if it has none.
func (x *extraction) stored(name string) (string, bool) {
	if index, _ := splitXattr(name); index == 0 {
		return "", false
	}
	if ns := x.o.Dialect.Namespace(); ns != "" {
		return ns.Stored(name), true
	}
	if x.o.Dialect == whiteout.FuseOverlay && (whiteout.Bookkeeping(name) || strings.HasPrefix(name, whiteout.FuseOverlayPrefix)) {
		return "", false
	}
	return name, true
}

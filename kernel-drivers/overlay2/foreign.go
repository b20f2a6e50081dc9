package overlay2

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/whiteout"
)

// ErrForeign is wrapped by the error of Mount for an upper in which somebody wrote what this
// mount can't read: overlayfs ignores redirects and metacopies with userxattr
// (overlayfs.rst, "User xattr"), or where options say so, and would show directories without
// what was in them, and files of zeros.
var ErrForeign = errors.New("the snapshot was written by a driver, or with options, that can do more")

// refuseForeign looks for such objects in upper: those with one of the marks keys.
func refuseForeign(upper string, ns whiteout.Namespace, keys ...whiteout.Key) error {
	if len(keys) == 0 {
		return nil
	}
	fd, err := sys.OpenDir(unix.AT_FDCWD, upper)
	if err != nil {
		return fmt.Errorf("open %s: %w", upper, err)
	}
	defer unix.Close(fd)
	return foreignIn(fd, upper, ns, keys)
}

func foreignIn(fd int, path string, ns whiteout.Namespace, keys []whiteout.Key) error {
	names, err := sys.ReadNames(fd)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	for _, name := range names {
		var st unix.Stat_t
		if err := sys.Again(func() error { return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
			return fmt.Errorf("stat %s/%s: %w", path, name, err)
		}
		key := whiteout.KeyMetacopy
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			key = whiteout.KeyRedirect
		case unix.S_IFREG:
		default:
			continue
		}
		if _, err := unix.Lgetxattr(sys.ProcPath(fd)+"/"+name, ns.Name(key), nil); err == nil && slices.Contains(keys, key) {
			return fmt.Errorf("%s/%s has a %s: %w", path, name, key, ErrForeign)
		}
		if key != whiteout.KeyRedirect {
			continue
		}
		sub, err := sys.OpenDir(fd, name)
		if err != nil {
			return fmt.Errorf("open %s/%s: %w", path, name, err)
		}
		err = foreignIn(sub, path+"/"+name, ns, keys)
		unix.Close(sub)
		if err != nil {
			return err
		}
	}
	return nil
}

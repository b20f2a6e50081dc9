package overlay2

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/whiteout"
)

// ErrForeign is wrapped by the error of Mount for an upper in which another
// driver wrote what a mount with userxattr can't read: overlayfs ignores redirects and
// metacopies there (overlayfs.rst, "User xattr"), and would show directories
// without what was in them, and files of zeros.
var ErrForeign = errors.New("the snapshot was written by a driver that can do more")

// refuseForeign looks for such objects in upper.
func refuseForeign(upper string) error {
	fd, err := sys.OpenDir(unix.AT_FDCWD, upper)
	if err != nil {
		return fmt.Errorf("open %s: %w", upper, err)
	}
	defer unix.Close(fd)
	return foreignIn(fd, upper)
}

func foreignIn(fd int, path string) error {
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
		if _, err := unix.Lgetxattr(sys.ProcPath(fd)+"/"+name, whiteout.UserXattr.Name(key), nil); err == nil {
			return fmt.Errorf("%s/%s has a %s: %w", path, name, key, ErrForeign)
		}
		if key != whiteout.KeyRedirect {
			continue
		}
		sub, err := sys.OpenDir(fd, name)
		if err != nil {
			return fmt.Errorf("open %s/%s: %w", path, name, err)
		}
		err = foreignIn(sub, path+"/"+name)
		unix.Close(sub)
		if err != nil {
			return err
		}
	}
	return nil
}

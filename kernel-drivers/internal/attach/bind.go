package attach

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// Attr are the MOUNT_ATTR_* flags that o asks for.
func Attr(o cow.MountOptions) int {
	attr := 0
	if o.ReadOnly {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	if !o.Suid {
		attr |= unix.MOUNT_ATTR_NOSUID
	}
	if !o.Dev {
		attr |= unix.MOUNT_ATTR_NODEV
	}
	return attr
}

// Bind attaches the directory dir at target, with the flags of attr, and
// without nosuid and nodev if attr has them not, where those of the mount that dir
// is on may be taken away: a user namespace has to keep what it was given
// (mount_namespaces(7)).
func Bind(dir, target string, attr int) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return fmt.Errorf("open_tree %s: %w", dir, err)
	}
	defer unix.Close(fd)
	const honoured = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	set := unix.MountAttr{Attr_set: uint64(attr), Attr_clr: uint64(honoured &^ attr)}
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &set)
	if errors.Is(err, unix.EPERM) && set.Attr_clr != 0 {
		set.Attr_clr = 0
		err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &set)
	}
	if err != nil {
		return fmt.Errorf("mount_setattr: %w", err)
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return nil
}

// BindWatched attaches dir at target and calls end when it is there no more, or
// now, if it returns an error.
func BindWatched(dir, target string, o cow.MountOptions, end func()) (*Mounted, error) {
	if err := Bind(dir, target, Attr(o)); err != nil {
		end()
		return nil, err
	}
	return watched(target, end)
}

// ProbeBind checks that this process can attach one directory at another, in a
// mount namespace of its own.
func ProbeBind() *cow.Unusable {
	err := sys.ProbeMounting(func() error {
		// A directory below which nothing is mounted: what is can't be left out in
		// a user namespace.
		const at = "/proc"
		if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64k,mode=700"); err != nil {
			return fmt.Errorf("tmpfs: %w", err)
		}
		for _, dir := range []string{at + "/from", at + "/to"} {
			if err := unix.Mkdir(dir, 0o700); err != nil {
				return fmt.Errorf("mkdir: %w", err)
			}
		}
		return Bind(at+"/from", at+"/to", unix.MOUNT_ATTR_RDONLY)
	})
	if err == nil {
		return nil
	}
	hint := "run as root, or in a user namespace of your own"
	if errors.Is(err, unix.ENOSYS) {
		hint = "boot Linux 5.12 or newer"
	}
	return &cow.Unusable{Reason: fmt.Sprintf("a directory can't be attached at another: %v", err), Hint: hint}
}

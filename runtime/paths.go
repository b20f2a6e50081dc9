package runtime

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mask hides a path: a directory below an empty read-only tmpfs, anything else
// below null, a descriptor of the host's /dev/null. (Not the container's, which it
// may have replaced: CVE-2025-31133.) A path that doesn't exist needs no mask.
func (r rootDir) mask(path string, null int) error {
	target, err := r.open(path, unix.O_PATH, 0)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(target)
	var st unix.Stat_t
	if err := unix.Fstat(target, &st); err != nil {
		return err
	}
	var mnt int
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		mnt, err = makeMount("tmpfs", "tmpfs", mountOptions{
			Set:  unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
			Data: []string{"nr_blocks=1", "nr_inodes=1"},
		})
	} else {
		mnt, err = unix.OpenTree(null, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	}
	if err != nil {
		return err
	}
	defer unix.Close(mnt)
	return attach(mnt, target)
}

// makeReadonly mounts a path onto itself, read-only with all below it. A
// path that doesn't exist is left out.
func (r rootDir) makeReadonly(path string) error {
	target, err := r.open(path, unix.O_PATH, 0)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(target)
	mnt, err := unix.OpenTree(target, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(mnt)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(mnt, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		return err
	}
	return attach(mnt, target)
}

// hostNull opens the host's /dev/null and makes sure that it is it.
func hostNull() (int, error) {
	fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/null: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, fmt.Errorf("stat /dev/null: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) {
		return -1, fmt.Errorf("/dev/null of the host is not the null device")
	}
	return fd, nil
}

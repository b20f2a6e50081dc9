package sys

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/lostthread"
)

// initialUserNS is the inode number of the initial user namespace
// (include/linux/proc_ns.h, PROC_USER_INIT_INO).
const initialUserNS = 0xEFFFFFFD

// Privileged tells whether this process is in the initial user namespace, the
// only one in which trusted.* xattrs can be written.
func Privileged() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/user", &st) == nil && st.Ino == initialUserNS
}

// Root tells whether this process is root in the initial user namespace.
func Root() bool { return os.Geteuid() == 0 && Privileged() }

// KernelIs tells whether the kernel is at least major.minor.
func KernelIs(major, minor int) bool {
	var u unix.Utsname
	var a, b int
	if unix.Uname(&u) != nil {
		return false
	}
	fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b)
	return a > major || a == major && b >= minor
}

// ProbeFilesystem looks for a filesystem type of the kernel: built in, loaded, or a
// module that root's first mount loads. Config is the option a kernel is
// built with to have it.
func ProbeFilesystem(name, config string) *cow.Unusable {
	data, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return &cow.Unusable{Reason: fmt.Sprintf("the kernel's filesystems can't be listed: %v", err), Hint: "mount /proc"}
	}
	if bytes.Contains(data, []byte("\t"+name+"\n")) {
		return nil
	}
	var u unix.Utsname
	unix.Uname(&u)
	dep, err := os.ReadFile("/lib/modules/" + unix.ByteSliceToString(u.Release[:]) + "/modules.dep")
	if err == nil && bytes.Contains(dep, []byte("/"+name+".ko")) {
		if Root() {
			return nil
		}
		return &cow.Unusable{Reason: "the kernel module " + name + " is not loaded", Hint: "as root: modprobe " + name}
	}
	return &cow.Unusable{Reason: "the kernel has no " + name, Hint: "boot a kernel with " + config}
}

// ProbeWritable checks that something can be made in dir, or will be when the
// directories that lead to it are made.
func ProbeWritable(dir string) *cow.Unusable {
	dir = Existing(dir)
	var st unix.Statfs_t
	if err := Again(func() error { return unix.Statfs(dir, &st) }); err != nil {
		return &cow.Unusable{Reason: fmt.Sprintf("%s can't be looked at: %v", dir, err)}
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return &cow.Unusable{Reason: dir + " is on a filesystem mounted read-only", Hint: "put the store where it can be written (--root)"}
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &cow.Unusable{Reason: fmt.Sprintf("nothing can be made in %s: %v", dir, err), Hint: "choose a store of your own (--root)"}
	}
	return nil
}

// ProbeMounting checks that this process may mount at all: it makes a mount
// namespace that only one thread is in, and f mounts something in it, over any
// directory, as nobody else sees it. F is not called where namespaces can't be made.
func ProbeMounting(f func() error) error {
	return lostthread.Do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("new mount namespace: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
		return f()
	})
}

// Existing is dir, or the innermost directory above it that is there.
func Existing(dir string) string {
	for {
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

package sys

import (
	"errors"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Again repeats a system call that a signal interrupted.
func Again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// Tolerate is err, unless it is one of those, which are none here.
func Tolerate(err error, those ...error) error {
	for _, e := range those {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

// Open opens name in the directory dir. The descriptor is the caller's.
func Open(dir int, name string, flags int) (fd int, err error) {
	err = Again(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// OpenDir opens the directory name in dir, and no symlink, for reading.
func OpenDir(dir int, name string) (int, error) {
	return Open(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
}

// ReadNames lists the directory fd from its beginning, in any order.
func ReadNames(fd int) ([]string, error) {
	own, err := Open(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), "directory")
	defer f.Close()
	return f.Readdirnames(-1)
}

// ProcPath names what fd is opened on, for calls that take a path only.
func ProcPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// SyncDir puts the names in a directory on disk.
func SyncDir(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Ioctl does a request on fd with what arg points to.
func Ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	return Again(func() error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
		if errno != 0 {
			return errno
		}
		return nil
	})
}

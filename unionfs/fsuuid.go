package unionfs

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// fsIocGetFSUUID is FS_IOC_GETFSUUID of include/uapi/linux/fs.h, of Linux 6.9.
const fsIocGetFSUUID = 0x80111500

// uuidOf asks for the UUID of the filesystem that directory dirfd is on. ENOTTY:
// the kernel doesn't tell.
func uuidOf(dirfd int) (cow.UUID, error) {
	fd, err := unix.Openat(dirfd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return cow.UUID{}, err
	}
	defer unix.Close(fd)
	var v struct { // struct fsuuid2
		len  uint8
		uuid cow.UUID
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), fsIocGetFSUUID, uintptr(unsafe.Pointer(&v)))
	switch {
	case errno == unix.ENOTTY && tellsUUID():
		return cow.UUID{}, nil
	case errno != 0:
		return cow.UUID{}, errno
	case int(v.len) != len(v.uuid): // FAT and its like; overlayfs has zero then, too
		return cow.UUID{}, nil
	}
	return v.uuid, nil
}

// tellsUUID tells whether the kernel is one that has FS_IOC_GETFSUUID: what it
// has no answer for then has no UUID.
func tellsUUID() bool {
	var u unix.Utsname
	var major, minor int
	if unix.Uname(&u) != nil {
		return false
	}
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return err == nil && (major > 6 || major == 6 && minor >= 9)
}

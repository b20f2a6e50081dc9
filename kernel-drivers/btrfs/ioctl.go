package btrfs

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// The requests of include/uapi/linux/btrfs.h that are used here.
var (
	iocSnapDestroy    = iow(15, argsSize)
	iocTreeSearchV2   = iowr(17, searchArgsSize)
	iocSnapCreateV2   = iow(23, argsSize)
	iocSubvolCreateV2 = iow(24, argsSize)
	iocQgroupLimit    = ior(43, qgroupLimitSize)
	iocGetSubvolInfo  = ior(60, unsafe.Sizeof(subvolInfo{}))
)

const (
	argsSize        = 4096   // of btrfs_ioctl_vol_args and of its second version
	searchArgsSize  = 112    // of btrfs_ioctl_search_args_v2, without the buffer
	qgroupLimitSize = 48     // of btrfs_ioctl_qgroup_limit_args
	nameV1          = 8      // offset of the name in btrfs_ioctl_vol_args,
	nameV2          = 56     // and in its second version
	maxName         = 255    // of a subvolume in a directory
	limitExclusive  = 1 << 1 // BTRFS_QGROUP_LIMIT_MAX_EXCL
)

func iow(nr, size uintptr) uintptr  { return 1<<30 | size<<16 | 0x94<<8 | nr }
func ior(nr, size uintptr) uintptr  { return 2<<30 | size<<16 | 0x94<<8 | nr }
func iowr(nr, size uintptr) uintptr { return 3<<30 | size<<16 | 0x94<<8 | nr }

// ioctl calls the kernel with a structure.
func ioctl(fd int, request uintptr, arg []byte) error {
	return sys.Ioctl(fd, request, unsafe.Pointer(&arg[0]))
}

// createSubvolume makes an empty subvolume called name in the directory dir.
func createSubvolume(dir int, name string) error {
	return volume(dir, iocSubvolCreateV2, name, 0)
}

// snapshot makes a writable snapshot of the subvolume open as source, called name in
// the directory dir.
func snapshot(source, dir int, name string) error {
	return volume(dir, iocSnapCreateV2, name, source)
}

func volume(dir int, request uintptr, name string, source int) error {
	if len(name) > maxName {
		return unix.ENAMETOOLONG
	}
	arg := make([]byte, argsSize)
	binary.NativeEndian.PutUint64(arg, uint64(source))
	copy(arg[nameV2:], name)
	return ioctl(dir, request, arg)
}

// destroySubvolume removes the subvolume called name in the directory dir, with all
// that is in it but other subvolumes.
func destroySubvolume(dir int, name string) error {
	if len(name) > maxName {
		return unix.ENAMETOOLONG
	}
	arg := make([]byte, argsSize)
	copy(arg[nameV1:], name)
	return ioctl(dir, iocSnapDestroy, arg)
}

// limitExclusiveSize bounds what the subvolume that fd is in has for itself, in bytes; 0
// is no bound.
func limitExclusiveSize(fd int, size int64) error {
	arg := make([]byte, qgroupLimitSize)
	binary.NativeEndian.PutUint64(arg[8:], limitExclusive) // quota group 0: the subvolume's own
	bound := uint64(size)
	if size == 0 {
		bound = ^uint64(0) // clears it (CLEAR_VALUE in fs/btrfs/qgroup.c)
	}
	binary.NativeEndian.PutUint64(arg[24:], bound)
	return ioctl(fd, iocQgroupLimit, arg)
}

package overlay2

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

var _ cow.Limiter = (*Driver)(nil)

// Requests and structures of include/uapi/linux/fs.h and quota.h.
const (
	iocGetXattr  = 2<<30 | fsxattrSize<<16 | 'X'<<8 | 31 // FS_IOC_FSGETXATTR
	iocSetXattr  = 1<<30 | fsxattrSize<<16 | 'X'<<8 | 32 // FS_IOC_FSSETXATTR
	fsxattrSize  = 28                                    // of struct fsxattr: flags, …, project at 12
	inherit      = 0x200                                 // FS_XFLAG_PROJINHERIT: new files have the project of their directory
	getQuota     = 0x800007<<8 | 2                       // Q_GETQUOTA of PRJQUOTA
	setQuota     = 0x800008<<8 | 2                       // Q_SETQUOTA of PRJQUOTA
	dqblkSize    = 72                                    // of struct if_dqblk: hard limit in KiB at 0, space in bytes at 16, valid at 64
	validLimits  = 1                                     // QIF_BLIMITS
	projectTries = 100
)

// Limit implements cow.Limiter with a project of its own for the upper and the work
// directory, on filesystems mounted with project quotas (XFS and ext4: prjquota). What
// the image has is not counted.
func (d *Driver) Limit(ctx context.Context, s cow.Snapshot, size int64) error {
	err := d.limit(ctx, s, size)
	var why, hint string
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOTTY):
		why, hint = "the filesystem of "+s.Dir+" has no project quotas", "put the store on xfs, mounted with the option prjquota"
	case errors.Is(err, unix.EPERM):
		why, hint = "only root can set quotas", "run as root, or without a size"
	default:
		return fmt.Errorf("limit %s to %d bytes: %w", s.Dir, size, err)
	}
	return &cow.Unusable{Driver: Name, Reason: why, Hint: hint}
}

func (d *Driver) limit(ctx context.Context, s cow.Snapshot, size int64) error {
	upper, err := sys.OpenDir(unix.AT_FDCWD, filepath.Join(s.Dir, upperName))
	if err != nil {
		return err
	}
	defer unix.Close(upper)
	project, err := projectOf(upper)
	if err != nil {
		return err
	}
	if project != 0 || size == 0 {
		return setLimit(upper, project, size)
	}
	group, err := tree.OwnGroup(d.home)
	if err != nil {
		return err
	}
	// One after the other, so that no two take the same number.
	unlock, err := group.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if project, err = freeProject(upper); err != nil {
		return err
	}
	if err := setLimit(upper, project, size); err != nil {
		return err
	}
	// XFS renames nothing from one project to another, as overlayfs does from work
	// to upper.
	work, err := sys.OpenDir(unix.AT_FDCWD, filepath.Join(s.Dir, workName))
	if err != nil {
		return err
	}
	defer unix.Close(work)
	if err := setProject(work, project); err != nil {
		return err
	}
	return setProject(upper, project)
}

// unlimit lifts the limit of a snapshot that is about to be removed.
func unlimit(dir string) {
	upper, err := sys.OpenDir(unix.AT_FDCWD, filepath.Join(dir, upperName))
	if err != nil {
		return
	}
	defer unix.Close(upper)
	if project, err := projectOf(upper); err == nil && project != 0 {
		setLimit(upper, project, 0) // else a number stays bounded that nobody has
	}
}

// freeProject is a project that nobody on the filesystem of fd has.
func freeProject(fd int) (uint32, error) {
	for range projectTries {
		id := 1<<30 | rand.Uint32N(1<<30) // away from those that people choose
		quota := make([]byte, dqblkSize)
		err := quotactl(fd, getQuota, id, quota)
		if errors.Is(err, unix.ENOENT) {
			return id, nil
		}
		if err != nil {
			return 0, fmt.Errorf("look at project %d: %w", id, err)
		}
		if binary.NativeEndian.Uint64(quota) == 0 && binary.NativeEndian.Uint64(quota[16:]) == 0 {
			return id, nil
		}
	}
	return 0, errors.New("no free project was found")
}

// setLimit bounds the space of a project, in bytes; 0 is no bound.
func setLimit(fd int, project uint32, size int64) error {
	if project == 0 {
		return nil
	}
	quota := make([]byte, dqblkSize)
	binary.NativeEndian.PutUint64(quota, uint64(size+1023)/1024)
	binary.NativeEndian.PutUint64(quota[8:], uint64(size+1023)/1024)
	binary.NativeEndian.PutUint32(quota[64:], validLimits)
	if err := quotactl(fd, setQuota, project, quota); err != nil {
		return fmt.Errorf("limit project %d: %w", project, err)
	}
	return nil
}

func quotactl(fd int, cmd uintptr, id uint32, arg []byte) error {
	err := sys.Again(func() error {
		_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, uintptr(fd), cmd, uintptr(id), uintptr(unsafe.Pointer(&arg[0])), 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
	runtime.KeepAlive(arg)
	return err
}

// projectOf is the project of the directory open as fd, 0 for none.
func projectOf(fd int) (uint32, error) {
	attr := make([]byte, fsxattrSize)
	if err := fsxattr(fd, iocGetXattr, attr); err != nil {
		return 0, fmt.Errorf("read project: %w", err)
	}
	return binary.NativeEndian.Uint32(attr[12:]), nil
}

func setProject(fd int, project uint32) error {
	attr := make([]byte, fsxattrSize)
	if err := fsxattr(fd, iocGetXattr, attr); err != nil {
		return fmt.Errorf("read project: %w", err)
	}
	binary.NativeEndian.PutUint32(attr, binary.NativeEndian.Uint32(attr)|inherit)
	binary.NativeEndian.PutUint32(attr[12:], project)
	if err := fsxattr(fd, iocSetXattr, attr); err != nil {
		return fmt.Errorf("set project %d: %w", project, err)
	}
	return nil
}

func fsxattr(fd int, request uintptr, attr []byte) error {
	return sys.Ioctl(fd, request, unsafe.Pointer(&attr[0]))
}

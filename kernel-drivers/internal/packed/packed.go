// Package packed mounts packed chains with the kernel's EROFS, straight from the
// store: the merged index is the filesystem, and the tars of the layers are the devices
// that its chunks point into. Nothing is extracted, and no loop device is needed.
//
//	cow.Chain{Index, Layers} ──fsopen("erofs"), source=, device=…──► a detached mount
//
// It takes root in the initial user namespace and Linux 6.12 (file-backed mounts,
// CONFIG_EROFS_FS_BACKED_BY_FILE).
package packed

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/attach"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// Mount mounts c read-only with MOUNT_ATTR_* flags, attached nowhere yet. The
// descriptor is the caller's; closing it unmounts what is not attached.
func Mount(c cow.Chain, attr int) (int, error) {
	if c.Index == "" {
		return -1, errors.New("the chain has no index")
	}
	fs, err := unix.Fsopen("erofs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen erofs: %w", err)
	}
	defer unix.Close(fs)
	var paths attach.Paths
	defer paths.Close()
	set := func(key, name string) error {
		at, err := paths.Short(name)
		if err != nil {
			return err
		}
		if err := sys.Again(func() error { return unix.FsconfigSetString(fs, key, at) }); err != nil {
			return attach.Explain(fs, fmt.Errorf("%s=%s: %w", key, name, err))
		}
		return nil
	}
	if err := set("source", c.Index); err != nil {
		return -1, err
	}
	for _, l := range c.Layers { // in the order of the index's device slots
		if err := set("device", l.Tar()); err != nil {
			return -1, err
		}
	}
	fd, err := attach.Made(fs, attr|unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return -1, fmt.Errorf("erofs on %s: %w", c.Index, err)
	}
	return fd, nil
}

// Probe tells whether Mount can work for a store at dir, or in the directory above it
// that is there. Nothing is mounted.
func Probe(dir string) *cow.Unusable {
	if u := sys.ProbeFilesystem("erofs", "CONFIG_EROFS_FS"); u != nil {
		return u
	}
	if !sys.Root() {
		return &cow.Unusable{Reason: "only root may mount EROFS", Hint: "run as root"}
	}
	fs, err := unix.Fsopen("erofs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return &cow.Unusable{Reason: fmt.Sprintf("EROFS can't be opened: %v", err), Hint: "run as root, outside of containers that may not mount"}
	}
	defer unix.Close(fs)
	// A file that is no EROFS: a kernel that takes files says that it isn't, one
	// that takes block devices only looks no further.
	dir = sys.Existing(dir)
	file, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil // not all filesystems have files without a name; a mount will tell
	}
	defer unix.Close(file)
	err = unix.FsconfigSetString(fs, "source", sys.ProcPath(file))
	if err == nil {
		err = unix.FsconfigCreate(fs)
	}
	switch {
	case errors.Is(err, unix.ENOTBLK) && sys.KernelIs(6, 12):
		return &cow.Unusable{Reason: "EROFS can't be mounted from files on the filesystem of " + dir,
			Hint: "put the store on a disk (--root); tmpfs won't do, nor a kernel without CONFIG_EROFS_FS_BACKED_BY_FILE"}
	case errors.Is(err, unix.ENOTBLK):
		return &cow.Unusable{Reason: "this kernel mounts EROFS from block devices only", Hint: "boot Linux 6.12 or newer"}
	case errors.Is(err, unix.EPERM):
		return &cow.Unusable{Reason: fmt.Sprintf("EROFS can't be mounted: %v", err), Hint: "run as root, outside of containers that may not mount"}
	}
	return nil
}

package overlay2

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/whiteout"
)

// Probe implements cow.Driver. It mounts a small overlay in a mount namespace
// that only one thread is in, and that ends with it; and it looks at
// the filesystem that home is on, or will be.
func (d *Driver) Probe(ctx context.Context) error {
	for _, check := range []func() *cow.Unusable{probeKernel, probeMount, d.probeBacking} {
		if u := check(); u != nil {
			u.Driver = Name
			return u
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

func probeKernel() *cow.Unusable { return sys.ProbeFilesystem("overlay", "CONFIG_OVERLAY_FS") }

// probeMount tries a mount.
func probeMount() *cow.Unusable {
	userxattr := !sys.Privileged()
	err := sys.ProbeMounting(func() error { return tryMount(userxattr) })
	if err == nil {
		return nil
	}
	hint := "run as root, or in a user namespace of your own"
	if userxattr {
		hint = "Linux 5.11 or newer lets user namespaces mount overlayfs, if no security module forbids it"
	}
	return &cow.Unusable{Reason: fmt.Sprintf("an overlay can't be mounted: %v", err), Hint: hint}
}

// tryMount mounts an overlay over a tmpfs, in a mount namespace of its own.
func tryMount(userxattr bool) error {
	// Any directory will do as mount point: nobody else sees it.
	const at = "/proc"
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64k,mode=700"); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	for _, dir := range []string{"lower", "upper", "work", "merged"} {
		if err := unix.Mkdir(at+"/"+dir, 0o700); err != nil {
			return fmt.Errorf("mkdir: %w", err)
		}
	}
	opts := "lowerdir=" + at + "/lower,upperdir=" + at + "/upper,workdir=" + at + "/work"
	if userxattr {
		opts += ",userxattr"
	}
	if err := unix.Mount("overlay", at+"/merged", "overlay", 0, opts); err != nil {
		return err
	}
	return nil
}

// unfit are filesystems that can't carry an upper, by statfs(2)'s f_type.
var unfit = []struct {
	magic int64
	name  string
}{
	{unix.OVERLAYFS_SUPER_MAGIC, "overlayfs itself"},
	{unix.NFS_SUPER_MAGIC, "NFS"},
	{unix.SMB2_SUPER_MAGIC, "SMB"},
	{unix.CIFS_SUPER_MAGIC, "SMB"},
	{unix.V9FS_MAGIC, "9p"},
	{unix.FUSE_SUPER_MAGIC, "FUSE"},
	{unix.MSDOS_SUPER_MAGIC, "FAT"},
	{unix.EXFAT_SUPER_MAGIC, "exFAT"},
	{unix.ECRYPTFS_SUPER_MAGIC, "eCryptfs"},
	{unix.SQUASHFS_MAGIC, "squashfs, read-only"},
	{unix.EROFS_SUPER_MAGIC_V1, "EROFS, read-only"},
	{unix.ISOFS_SUPER_MAGIC, "ISO 9660, read-only"},
}

// probeBacking looks at the filesystem that trees, uppers and work
// directories are on. It must be writable, have the overlay's xattrs, and tell
// types in directories (overlayfs.rst, "Upper and Lower").
func (d *Driver) probeBacking() *cow.Unusable {
	dir := sys.Existing(d.home)
	hint := "put the store on ext4, xfs, btrfs or tmpfs (--root)"
	var st unix.Statfs_t
	if err := sys.Again(func() error { return unix.Statfs(dir, &st) }); err != nil {
		return &cow.Unusable{Reason: fmt.Sprintf("%s can't be looked at: %v", dir, err)}
	}
	for _, u := range unfit {
		if int64(uint32(st.Type)) == u.magic {
			return &cow.Unusable{Reason: fmt.Sprintf("%s is on a filesystem that can't carry an overlay's upper: %s", dir, u.name), Hint: hint}
		}
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return &cow.Unusable{Reason: dir + " is on a filesystem mounted read-only", Hint: hint}
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &cow.Unusable{Reason: fmt.Sprintf("nothing can be made in %s: %v", dir, err), Hint: "choose a store of your own (--root)"}
	}
	dialect := dialect()
	// Asking for one that is not there tells whether there could be any.
	name := dialect.Namespace().Name(whiteout.KeyOrigin)
	if _, err := unix.Lgetxattr(dir, name, nil); errors.Is(err, unix.ENOTSUP) {
		return &cow.Unusable{Reason: fmt.Sprintf("the filesystem of %s has no %s xattrs", dir, dialect.Namespace()), Hint: hint}
	}
	if types, err := tellsTypes(dir); err == nil && !types {
		return &cow.Unusable{Reason: fmt.Sprintf("the filesystem of %s tells no types in directories (d_type)", dir),
			Hint: "xfs has to be made with ftype=1; or " + hint}
	}
	return nil
}

// tellsTypes reads the type of "." in dir (getdents64(2)).
func tellsTypes(dir string) (bool, error) {
	fd, err := sys.Open(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	var n int
	err = sys.Again(func() (err error) {
		n, err = unix.Getdents(fd, buf)
		return err
	})
	// struct linux_dirent64: d_type is the 19th byte of an entry, and what
	// comes first is "." or a name, none of them of unknown type.
	const dType = 18
	if err != nil || n <= dType {
		return false, errors.Join(err, errors.New("empty directory"))
	}
	return buf[dType] != unix.DT_UNKNOWN, nil
}

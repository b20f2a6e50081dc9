package unionfs

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/apart"
)

// With ACLs agreed on, everybody who doesn't own a directory on the way to a
// file has the kernel look for that directory's ACL, once: then it remembers
// that there is none. Only of FUSE's own root it never does, since that inode is
// made before the two sides have agreed on anything (fs/fuse/inode.c,
// fuse_init_inode), so that every path costs a request. Hence what people see
// as the mount's root is a directory in FUSE's root, which is the union's root
// under a second id.
const (
	rootAlias     = uint64(fuse.FUSE_ROOT_ID + 1) // node id
	rootAliasName = "union"                       // mountinfo shows it, nothing else
)

// aliased tells whether a look-up asks for the second root.
func (f *FS) aliased(h *fuse.InHeader, name string) bool {
	return h.NodeId == fuse.FUSE_ROOT_ID && name == rootAliasName && f.rootAliased.Load()
}

// lookupAlias answers that look-up. The name is not to be kept: where the
// second root can't be shown, an object of the union may have it.
func (f *FS) lookupAlias(out *fuse.EntryOut) error {
	out.NodeId, out.AttrValid = rootAlias, forever
	return f.attr(f.root, &out.Attr)
}

// mountDetached makes a mount that is nowhere yet, by the calls that Linux has
// since 5.2 (fsopen(2), fsmount(2)): it can be served, and its root chosen, before
// anybody can see it.
func mountDetached(o *MountOptions) (fd, mount int, err error) {
	if fd, err = openFuse(); err != nil {
		return -1, -1, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	config, err := unix.Fsopen("fuse", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, -1, fmt.Errorf("fsopen fuse: %w", err)
	}
	defer unix.Close(config)
	for _, s := range [][2]string{
		{"source", o.Source}, {"subtype", o.Subtype}, {"fd", strconv.Itoa(fd)},
		{"rootmode", strconv.FormatUint(unix.S_IFDIR, 8)},
		{"user_id", strconv.Itoa(unix.Geteuid())}, {"group_id", strconv.Itoa(unix.Getegid())},
	} {
		if err := unix.FsconfigSetString(config, s[0], s[1]); err != nil {
			return -1, -1, fmt.Errorf("fsconfig fuse: %s=%s: %w", s[0], s[1], err)
		}
	}
	for _, l := range o.Labels {
		name, label, _ := strings.Cut(l, "=")
		if err := unix.FsconfigSetString(config, name, strings.Trim(label, `"`)); err != nil {
			return -1, -1, fmt.Errorf("fsconfig fuse: %s: %w", l, err)
		}
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{o.AllowOther, "allow_other"}, {o.AllowOther || o.Permissions, "default_permissions"}, {o.ReadOnly, "ro"}} {
		if !f.on {
			continue
		}
		if err := unix.FsconfigSetFlag(config, f.name); err != nil {
			return -1, -1, fmt.Errorf("fsconfig fuse: %s: %w", f.name, err)
		}
	}
	if err := unix.FsconfigCreate(config); err != nil {
		return -1, -1, fmt.Errorf("fsconfig fuse: %w", err)
	}
	attr := 0
	for _, f := range []struct {
		on   bool
		flag int
	}{{!o.Suid, unix.MOUNT_ATTR_NOSUID}, {!o.Dev, unix.MOUNT_ATTR_NODEV}, {o.NoExec, unix.MOUNT_ATTR_NOEXEC}, {o.ReadOnly, unix.MOUNT_ATTR_RDONLY}} {
		if f.on {
			attr |= f.flag
		}
	}
	if mount, err = unix.Fsmount(config, unix.FSMOUNT_CLOEXEC, attr); err != nil {
		return -1, -1, fmt.Errorf("fsmount fuse: %w", err)
	}
	return fd, mount, nil
}

// show attaches the detached mount at target, by the second root where that may
// be (Linux 6.15 and later clone a mount that is nowhere). Finding that is a request to
// this very process, which could not be killed meanwhile but apart from the device.
func (f *FS) show(mount int, target string) error {
	return apart.Do(func() error {
		tree := mount
		if f.rootAliased.Load() {
			alias, err := unix.OpenTree(mount, rootAliasName, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
			if err == nil {
				defer unix.Close(alias)
				tree = alias
			} else {
				f.rootAliased.Store(false)
			}
		}
		if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount %s: %w", target, err)
		}
		return nil
	})
}

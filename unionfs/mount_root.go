package unionfs

import (
	"fmt"
	"path/filepath"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
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
	return h.NodeId == fuse.FUSE_ROOT_ID && name == rootAliasName && f.rootAliased
}

// lookupAlias answers that look-up.
func (f *FS) lookupAlias(out *fuse.EntryOut) error {
	out.NodeId, out.EntryValid, out.AttrValid = rootAlias, forever, forever
	return f.attr(f.root, &out.Attr)
}

// raiseAlias puts the second root where the mount at target is. Nobody may be
// in there yet.
func raiseAlias(target string) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, filepath.Join(target, rootAliasName),
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	defer unix.Close(tree)
	if err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW); err != nil {
		return err
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return nil
}

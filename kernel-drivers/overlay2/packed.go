package overlay2

import (
	"bytes"
	"context"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/whiteout"
)

// trustedXattr is EROFS_XATTR_INDEX_TRUSTED (fs/erofs/erofs_fs.h).
const trustedXattr = 4

// packable tells whether c is to be mounted packed, if the kernel can.
func (d *Driver) packable(c cow.Chain) bool {
	if d.noPacked || !sys.Root() || c.Index == "" || len(c.Layers) == 0 || !sys.KernelIs(6, 12) {
		return false
	}
	group, err := tree.OwnGroup(d.home)
	if err != nil || extracted(c, group) || hasMarks(c.Index) {
		return false
	}
	o, err := d.settings()
	return err == nil && o.dataDir == "" // which is about trees
}

// base is the chain c to compare uppers with. What can be compared with the index
// is neither mounted nor extracted for it.
func (d *Driver) base(ctx context.Context, c cow.Chain) (base cow.Base, dialect whiteout.Dialect, closed func(), err error) {
	if d.packable(c) {
		image, err := layerpack.OpenBase(c, nil)
		if err != nil {
			return nil, 0, nil, err
		}
		return image, whiteout.Trusted, func() { image.Close() }, nil
	}
	st, err := d.stack(ctx, c)
	if err != nil {
		return nil, 0, nil, err
	}
	dirs, err := cow.OpenDirBase(st.paths(), st.dialect)
	if err != nil {
		st.release()
		return nil, 0, nil, err
	}
	dirs.Data = st.data.lowers()
	return dirs, st.dialect, func() { dirs.Close(); st.release() }, nil
}

// extracted tells whether all trees of c are there.
func extracted(c cow.Chain, group tree.Group) bool {
	for i := range c.Layers {
		if _, err := os.Lstat(filepath.Join(group.Dir, tree.ChainID(c.Layers[:i+1]).Encoded())); err != nil {
			return false
		}
	}
	return true
}

// hasMarks tells whether an object of the image may have an extended attribute that
// overlayfs would take for its own, or the index can't be read. Trees have such
// escaped. In an index names stand without their namespace.
func hasMarks(index string) bool {
	f, err := os.Open(index)
	if err != nil {
		return true
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return true
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return true
	}
	found := false
	for at := 0; !found; at++ {
		n := bytes.Index(mem[at:], []byte("overlay."))
		if n < 0 {
			break
		}
		// struct erofs_xattr_entry: length, namespace, size of the value, name; on 4 bytes.
		at += n
		found = at%4 == 0 && at >= 4 && mem[at-3] == trustedXattr
	}
	unix.Munmap(mem)
	return found
}

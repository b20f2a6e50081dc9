package overlay2

import (
	"bytes"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/packed"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
	"github.com/cfs-project/cfs/whiteout"
)

// trustedXattr is EROFS_XATTR_INDEX_TRUSTED (fs/erofs/erofs_fs.h).
const trustedXattr = 4

// packable tells whether c is to be mounted packed, by root.
func (d *Driver) packable(c cow.Chain, s *stack) bool {
	return !d.noPacked && s.dialect == whiteout.Trusted && c.Index != "" && len(c.Layers) > 0 &&
		!extracted(c, s.group) && packed.Probe(d.home) == nil && !hasMarks(c.Index)
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

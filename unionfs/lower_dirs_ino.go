package unionfs

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/layerpack"
)

// inodeNumbers makes one space of inode numbers of the layers' filesystems, as
// overlayfs's xino does:
//
//	bit 62  the upper directory's, see upperTag
//	bit 61  a hash of filesystem and number, where the number has more than 48 bits
//	48–60   the filesystem; 0, 1, … in the order of the layers, from 0x1000 on
//	        one that is mounted in a layer (or a subvolume of btrfs), by its f_fsid
//	 0–47   the number there
//
// A number is the same at the next mount of the same layers, and all names of a
// hard-linked file have one.
type inodeNumbers struct {
	mu  sync.RWMutex
	fs  map[uint64]filesystem // by st_dev
	use map[uint64]bool       // numbers of filesystems given out
	n   uint64                // layers' filesystems so far
}

// filesystem is what is known of one.
type filesystem struct {
	num uint64
	ino bool // d_ino of getdents(2) is st_ino
}

const (
	fsShift   = 48
	mountedFS = 0x1000
	hashedIno = 1 << 61
)

// layer gives the filesystem of a layer its number.
func (x *inodeNumbers) layer(dev uint64, fd int) {
	if x.fs == nil {
		x.fs, x.use = make(map[uint64]filesystem), make(map[uint64]bool)
	}
	if _, ok := x.fs[dev]; ok {
		return
	}
	x.fs[dev] = filesystem{num: x.n, ino: trueDirentIno(fd)}
	x.use[x.n] = true
	x.n++
}

// of returns the filesystem with that st_dev; fd, if not negative, is open on it.
func (x *inodeNumbers) of(dev uint64, fd int) filesystem {
	x.mu.RLock()
	f, ok := x.fs[dev]
	x.mu.RUnlock()
	if ok {
		return f
	}
	id := dev
	var st unix.Statfs_t
	if fd >= 0 && unix.Fstatfs(fd, &st) == nil && st.Fsid.Val != [2]int32{} {
		id = uint64(uint32(st.Fsid.Val[0]))<<32 | uint64(uint32(st.Fsid.Val[1]))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if f, ok = x.fs[dev]; ok {
		return f
	}
	h := id * 0x9e3779b97f4a7c15 >> 52
	for x.use[mountedFS|h] && len(x.use) < mountedFS {
		h = (h + 1) & (mountedFS - 1)
	}
	f = filesystem{num: mountedFS | h}
	x.fs[dev], x.use[f.num] = f, true
	return f
}

// number is what is shown for an object with that stat.
func (x *inodeNumbers) number(st *unix.Stat_t) uint64 {
	return x.of(st.Dev, -1).number(st.Ino)
}

func (f filesystem) number(ino uint64) uint64 {
	if ino < 1<<fsShift {
		return f.num<<fsShift | ino
	}
	h := (ino ^ f.num*0xff51afd7ed558ccd) * 0x9e3779b97f4a7c15
	h ^= h >> 32
	return hashedIno | h&(hashedIno-1)
}

// trueDirentIno tells whether d_ino can be trusted on a filesystem: on stacked
// and remote ones it need not be st_ino.
func trueDirentIno(fd int) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC,
		unix.F2FS_SUPER_MAGIC, unix.EROFS_SUPER_MAGIC_V1, unix.SQUASHFS_MAGIC:
		return true
	}
	return false
}

// nidOf is lowerRef.nid for the i-th name of a directory.
func nidOf(i int) layerpack.NID { return layerpack.NID(i + 1) }

// identity tells these layers from others: by their roots' inode numbers.
func (d *dirsLower) identity() string {
	parts := make([]string, 0, len(d.roots))
	for _, fd := range d.roots {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil {
			parts = append(parts, fmt.Sprint(st.Ino))
		}
	}
	return lowerIdentity(parts...)
}

package unionfs

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// dirsLower is a lower made of plain directories, the layers, whatever wrote
// them: overlayfs and this package (whiteouts, opaque, redirect, metacopy,
// partial files), AUFS and podman (.wh. names), fuse-overlayfs.
//
//	lower_dirs.go           the objects and how they are read
//	lower_dirs_reach.go     descriptors, by which an object is come to
//	lower_dirs_merge.go     a directory of all its layers becomes one table of names
//	lower_dirs_find.go      redirects: one name is looked up in the layers below
//	lower_dirs_data.go      metacopy and partial files: where data is
//	lower_dirs_marks.go     the extended attributes that say so
//	lower_dirs_ino.go       inode numbers
//	lower_dirs_handle.go    the names of inodes in the kernel's index
//	lower_dirs_ahead.go     what a walk comes to next is read before it is asked for
//	lower_dirs_sequence.go  which files those are
//	lower_dirs_stream.go    and of a large one, what follows
//
// # Data structure
//
// The first look-up in a directory reads it in every layer that has it and makes
// a table of the names that show: sorted, 16 bytes a name and the name itself,
// without a pointer for files. From then on a name costs a binary search and no
// system call, be it there or not and however many layers there are; and an
// object's attributes cost one fstatat(2), relative to its directory's cached
// descriptor. What a directory is merged with is found when it is read itself,
// for it may be opaque or redirected.
//
// A directory is a dirObj, and a lowerRef points at it. Any other object is the
// directory it stands in and its index there, plus one, in lowerRef.nid. Tables
// are never given back: they are what the lower is.
type dirsLower struct {
	paths  []string // topmost first
	roots  []int    // O_PATH, the same order
	data   []int    // O_PATH: data-only layers, topmost first
	over   []string // by layer: the name of its override_stat; "": it has none
	inodes inodeNumbers
	files  *handles // data, by place
	dirs   *handles // directories, by place
	top    *dirObj
	links  linkCounts
	fsOnce sync.Once
	fs     []layerFS // by layer, see filesystems
	ahead  *ahead

	// userMarks: data is also followed to where marks in the user namespace
	// lead. Set before the first look-up.
	userMarks bool
}

// dirObj is a directory.
type dirObj struct {
	id     uint64  // immutable: shown inode number
	parent *dirObj // immutable: nil for the root
	name   string  // immutable: in parent
	at     uint16  // immutable: index of locs[0] among the places of parent
	locs   []loc   // immutable: where it may be, topmost first; not yet redirected

	mu    sync.Mutex // held while the directory is read
	table atomic.Pointer[dirTable]
	seen  atomic.Int32 // dirUnseen, dirAhead or dirListed
}

// dirTable is a directory that was read. It is immutable.
type dirTable struct {
	locs  []loc // where the directory is, redirects followed
	names string
	list  []dirName // sorted by name
	dirs  []dirObj
}

// dirName is a name of a directory.
type dirName struct {
	ino uint64 // shown inode number; of a directory: index in dirTable.dirs
	off uint32 // where the name begins in dirTable.names
	loc uint16 // which of dirTable.locs has it
	len uint8
	typ uint8 // S_IFMT bits >> 12, and overridden
}

// overridden in dirName.typ: the object carries override_stat.
const overridden = 0x80

// loc is a path in one of the layers.
type loc struct {
	layer int
	path  string // relative, "." for the root
}

func (l loc) child(name string) loc { return loc{l.layer, join(l.path, name)} }

func (t *dirTable) name(e *dirName) string { return t.names[e.off : e.off+uint32(e.len)] }

func (e *dirName) kind() uint32 { return uint32(e.typ&0xf) << 12 }

// entry is the i-th name as the union sees it.
func (t *dirTable) entry(o *dirObj, i int) lowerEntry {
	e := &t.list[i]
	le := lowerEntry{name: t.name(e), typ: e.kind(), off: uint64(i) + 3}
	if le.typ == unix.S_IFDIR {
		le.ref.obj = &t.dirs[e.ino]
	} else {
		le.ref.obj, le.ref.nid = o, nidOf(i)
	}
	return le
}

// newDirsLower opens the layers, topmost first. With override every layer's
// override_stat is read, else that of layers that have it on their root.
func newDirsLower(dirs *privateDirs, paths, data []string, override bool) (_ *dirsLower, err error) {
	d := &dirsLower{paths: paths, files: newHandles(256), dirs: newHandles(256)}
	d.ahead = newAhead(d)
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if len(paths) == 0 {
		return nil, fmt.Errorf("union: no lower directory: %w", unix.EINVAL)
	}
	if len(paths) > 1<<16-1 {
		return nil, fmt.Errorf("union: %d lower directories: %w", len(paths), unix.E2BIG)
	}
	d.top = &dirObj{}
	for i, p := range paths {
		fd, err := dirs.open(p)
		if err != nil {
			return nil, fmt.Errorf("lower directory %s: %w", p, err)
		}
		d.roots = append(d.roots, fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return nil, fmt.Errorf("lower directory %s: %w", p, err)
		}
		d.inodes.layer(st.Dev, fd)
		if i == 0 {
			d.top.id = d.inodes.number(&st)
		}
		d.over = append(d.over, overrideName(at{fd, ""}, override))
		d.top.locs = append(d.top.locs, loc{i, "."})
	}
	for _, p := range data {
		fd, err := dirs.open(p)
		if err != nil {
			return nil, fmt.Errorf("lower data directory %s: %w", p, err)
		}
		d.data = append(d.data, fd)
	}
	return d, nil
}

func (d *dirsLower) root() lowerRef { return lowerRef{obj: d.top} }

// file is the directory that r, not itself a directory, stands in, and its
// entry there.
func (r lowerRef) file() (*dirTable, *dirName) {
	t := r.obj.table.Load()
	return t, &t.list[r.nid-1]
}

func (d *dirsLower) ino(r lowerRef) uint64 {
	if r.nid == 0 {
		return r.obj.id
	}
	_, e := r.file()
	return e.ino
}

// place is where r is: its topmost layer.
func (d *dirsLower) place(r lowerRef) loc {
	if r.nid == 0 {
		return r.obj.locs[0]
	}
	t, e := r.file()
	return t.locs[e.loc].child(t.name(e))
}

func (d *dirsLower) layer(r lowerRef) string { return d.paths[d.place(r).layer] }

func (d *dirsLower) attr(r lowerRef, a *fuse.Attr) error {
	h, p, err := d.reach(r)
	if err != nil {
		return err
	}
	defer h.put()
	var st unix.Stat_t
	if err := p.stat(&st); err != nil {
		return err
	}
	statAttr(&st, a)
	a.Ino = d.ino(r)
	over := true
	if r.nid == 0 {
		if len(r.obj.locs) > 1 {
			a.Nlink = 1
		}
	} else {
		_, e := r.file()
		over = e.typ&overridden != 0
		if st.Nlink > 1 && len(d.paths) > 1 {
			if a.Nlink, err = d.shownLinks(a.Ino); err != nil {
				return err
			}
		}
		if st.Mode&unix.S_IFMT == unix.S_IFREG && st.Blocks*512 < st.Size {
			d.dataBlocks(r, p, a)
		}
	}
	if name := d.over[d.layerOf(r)]; over && name != "" && st.Mode&unix.S_IFMT != unix.S_IFLNK {
		o, err := readOverrideStat(p, name)
		if o == nil || err != nil {
			return err
		}
		o.apply(a)
	}
	return nil
}

// layerOf is the topmost layer that has r.
func (d *dirsLower) layerOf(r lowerRef) int {
	if r.nid == 0 {
		return r.obj.locs[0].layer
	}
	t, e := r.file()
	return t.locs[e.loc].layer
}

func (d *dirsLower) lookup(dir lowerRef, name string) (lowerEntry, error) {
	t, err := d.load(dir)
	if err != nil {
		return lowerEntry{}, err
	}
	lo, hi := 0, len(t.list)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if t.name(&t.list[mid]) < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(t.list) || t.name(&t.list[lo]) != name {
		return lowerEntry{}, unix.ENOENT
	}
	return t.entry(dir.obj, lo), nil
}

func (d *dirsLower) readdir(dir lowerRef, off uint64, fn func(e *lowerEntry) bool) error {
	t, err := d.load(dir)
	if err != nil {
		return err
	}
	if off == 0 {
		d.ahead.listed(dir.obj, t)
	}
	var e lowerEntry
	for i, dot := range []string{".", ".."} {
		if e = (lowerEntry{name: dot, typ: unix.S_IFDIR, off: uint64(i) + 1}); off <= uint64(i) && !fn(&e) {
			return nil
		}
	}
	start := 0
	if off > 2 {
		start = int(min(off-2, uint64(len(t.list))))
	}
	for i := start; i < len(t.list); i++ {
		if e = t.entry(dir.obj, i); !fn(&e) {
			break
		}
	}
	return nil
}

func (d *dirsLower) readlink(r lowerRef) ([]byte, error) {
	var s string
	err := d.with(r, func(p at) (err error) {
		if s, err = p.readlink(); err == unix.EINVAL {
			var b []byte
			b, err = readAll(p, unix.PathMax) // kept as a file by override_stat
			s = string(b)
		}
		return err
	})
	return []byte(s), err
}

func (d *dirsLower) getxattr(r lowerRef, name string) (v []byte, err error) {
	err = d.with(r, func(p at) error { v, err = p.getxattr(name); return err })
	if isErrno(err, unix.EOPNOTSUPP) {
		err = unix.ENODATA
	}
	return v, err
}

func (d *dirsLower) listxattr(r lowerRef, fn func(name string)) error {
	return d.with(r, func(p at) error {
		names, err := p.listxattr()
		for _, name := range names {
			fn(name)
		}
		return err
	})
}

func (d *dirsLower) escaped() bool { return true }

func (d *dirsLower) statfs(out *fuse.StatfsOut) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.roots[0], &st); err != nil {
		return err
	}
	fillStatfs(out, &st)
	return nil
}

func (d *dirsLower) close() error {
	d.ahead.stop()
	d.files.purge()
	d.dirs.purge()
	for _, fd := range append(d.roots, d.data...) {
		unix.Close(fd)
	}
	d.roots, d.data = nil, nil
	return nil
}

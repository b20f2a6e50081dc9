package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// forever is how long the kernel may keep what it was told, in seconds: nobody
// but this server changes the union.
const forever = 1 << 31

// newUpperObj describes the object of n with that stat and those marks.
func (f *FS) newUpperObj(n *node, st *unix.Stat_t, m marks) *upperObj {
	up := &upperObj{key: upperTag | st.Ino, redirect: m.redirect}
	switch {
	case n.lower.ok():
		up.ino = f.lower.ino(n.lower)
	case m.origin != 0:
		up.ino = m.origin
	default:
		up.ino = up.key
	}
	up.override.Store(m.override != nil)
	if f.index != nil && n.typ != unix.S_IFDIR {
		if up.entry = f.index.with(st.Ino); up.entry != nil {
			up.hidden.Store(hiddenNames(st, &m))
		}
	}
	return up
}

// attr fills a with what is shown of n.
func (f *FS) attr(n *node, a *fuse.Attr) error {
	if up := n.up.Load(); up != nil {
		return f.upperAttr(n, up, a)
	}
	if err := f.lower.attr(n.lower, a); err != nil {
		return err
	}
	switch {
	case n.isDir():
		if f.opts.StaticNlink {
			a.Nlink = 1
		}
	case a.Nlink > 1:
		a.Nlink -= min(a.Nlink, f.goneFrom(a.Ino))
	case n.nameless():
		a.Nlink = 0
	}
	f.showIDs(a)
	return nil
}

func (f *FS) showIDs(a *fuse.Attr) {
	a.Uid, a.Gid = f.uids.in(a.Uid), f.gids.in(a.Gid)
}

func (f *FS) upperAttr(n *node, up *upperObj, a *fuse.Attr) error {
	var st unix.Stat_t
	var o *overrideStat
	if !up.override.Load() {
		if h := f.files.get(n.id, n); h != nil {
			err := unix.Fstat(h.fd, &st)
			h.put()
			if err != nil {
				return err
			}
			f.fillAttr(n, up, &st, nil, a)
			return nil
		}
	}
	err := f.withUpper(n, func(p at) (err error) {
		if err = p.stat(&st); err == nil && up.override.Load() {
			o, err = f.readOverride(p)
		}
		return err
	})
	if err != nil {
		return err
	}
	f.fillAttr(n, up, &st, o, a)
	return nil
}

func (f *FS) readOverride(p at) (*overrideStat, error) {
	v, err := p.getxattr(overrideXattr)
	if isErrno(err, unix.ENODATA) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o, err := parseOverride(string(v))
	return &o, err
}

// fillAttr turns the stat of an upper object to what is shown.
func (f *FS) fillAttr(n *node, up *upperObj, st *unix.Stat_t, o *overrideStat, a *fuse.Attr) {
	statAttr(st, a)
	if o != nil {
		o.apply(a)
	}
	a.Ino = up.ino
	if up.entry != nil {
		a.Nlink = uint32(max(0, int64(st.Nlink)+up.hidden.Load()))
	}
	if p := up.partial.Load(); p != nil && p.lacking() {
		// Some programs take a file with few blocks for one without data.
		var low fuse.Attr
		if f.lower.attr(p.src, &low) == nil {
			a.Blocks = max(a.Blocks, min(low.Blocks, (a.Size+511)/512))
		}
	}
	if n.isDir() && (n.lower.ok() || f.opts.StaticNlink) {
		// How many subdirectories a merged directory has is not known without
		// reading it; 1 is the convention that tells programs not to count on it.
		a.Nlink = 1
	}
	f.showIDs(a)
}

// statAttr copies a stat.
func statAttr(st *unix.Stat_t, a *fuse.Attr) {
	*a = fuse.Attr{
		Ino: st.Ino, Size: uint64(st.Size), Blocks: uint64(st.Blocks), Mode: st.Mode, Nlink: uint32(st.Nlink),
		Atime: uint64(st.Atim.Sec), Mtime: uint64(st.Mtim.Sec), Ctime: uint64(st.Ctim.Sec),
		Atimensec: uint32(st.Atim.Nsec), Mtimensec: uint32(st.Mtim.Nsec), Ctimensec: uint32(st.Ctim.Nsec),
		Owner: fuse.Owner{Uid: st.Uid, Gid: st.Gid}, Rdev: uint32(st.Rdev), Blksize: uint32(st.Blksize),
	}
}

// apply puts an override over the attributes of its object.
func (o *overrideStat) apply(a *fuse.Attr) {
	a.Uid, a.Gid = o.uid, o.gid
	typ := a.Mode & unix.S_IFMT
	if o.typ != 0 && typ == unix.S_IFREG && o.typ != unix.S_IFDIR {
		typ = o.typ
		a.Rdev = o.rdev
		if typ != unix.S_IFREG && typ != unix.S_IFLNK {
			a.Size, a.Blocks = 0, 0
		}
	}
	a.Mode = typ | o.perm
}

// objType is the type of an upper object, its override considered.
func objType(st *unix.Stat_t, o *overrideStat) uint32 {
	if t := st.Mode & unix.S_IFMT; t != unix.S_IFREG || o == nil || o.typ == 0 || o.typ == unix.S_IFDIR {
		return t
	}
	return o.typ
}

// GetAttr implements [fuse.RawFileSystem].
func (f *FS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	f.count(opGetattr)
	n := f.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	out.AttrValid = n.attrValid()
	return status(f.attr(n, &out.Attr))
}

// Statx implements [fuse.RawFileSystem]: what GetAttr says, and the birth time
// where the filesystem under the upper directory keeps it. A lower knows none,
// so without an upper the kernel is told once not to ask.
func (f *FS) Statx(_ <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	f.count(opStatx)
	if f.upper == nil {
		return fuse.ENOSYS
	}
	n := f.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	var a fuse.Attr
	if err := f.attr(n, &a); err != nil {
		return status(err)
	}
	t := func(sec uint64, nsec uint32) fuse.SxTime { return fuse.SxTime{Sec: sec, Nsec: nsec} }
	out.AttrValid = n.attrValid()
	out.Statx = fuse.Statx{
		Mask: unix.STATX_BASIC_STATS, Blksize: a.Blksize, Nlink: a.Nlink, Uid: a.Uid, Gid: a.Gid,
		Mode: uint16(a.Mode), Ino: a.Ino, Size: a.Size, Blocks: a.Blocks,
		Atime: t(a.Atime, a.Atimensec), Ctime: t(a.Ctime, a.Ctimensec), Mtime: t(a.Mtime, a.Mtimensec),
		RdevMajor: unix.Major(uint64(a.Rdev)), RdevMinor: unix.Minor(uint64(a.Rdev)),
	}
	if !n.hasUpper() {
		return fuse.OK
	}
	err := f.withUpper(n, func(p at) error {
		var sx unix.Statx_t
		if err := unix.Statx(p.dirfd, p.name, p.flags(), unix.STATX_BTIME, &sx); err != nil {
			return err
		}
		if sx.Mask&unix.STATX_BTIME != 0 {
			out.Mask |= unix.STATX_BTIME
			out.Btime = t(uint64(sx.Btime.Sec), sx.Btime.Nsec)
		}
		return nil
	})
	return status(err)
}

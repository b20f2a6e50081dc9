package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// SetAttr implements [fuse.RawFileSystem].
func (f *FS) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	f.count(opSetattr)
	n := f.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	if f.upper == nil {
		return fuse.EROFS
	}
	size := intact
	if s, ok := in.GetSize(); ok {
		size = int64(s)
	}
	err := f.copyUp(n, size)
	if err == nil && size != intact {
		err = f.forData(n)
	}
	if err == nil {
		err = f.setAttr(n, in)
		n.disinherit()
	}
	if err != nil {
		return status(err)
	}
	out.AttrValid = n.attrValid()
	return status(f.attr(n, &out.Attr))
}

func (f *FS) setAttr(n *node, in *fuse.SetAttrIn) error {
	if in.Valid&fuse.FATTR_SIZE != 0 {
		h, err := f.fileHandle(n, true)
		if err != nil {
			return err
		}
		if p := n.partialOf(); p != nil {
			err = f.truncatePartial(p, h.fd, int64(in.Size))
		} else {
			err = eintr(func() error { return unix.Ftruncate(h.fd, int64(in.Size)) })
		}
		h.put()
		if err == nil && f.upper.override {
			err = f.withUpper(n, func(p at) error { f.dropEncodedCaps(n, p); return nil })
		}
		if err == nil && in.Valid&fuse.FATTR_KILL_SUIDGID != 0 {
			err = f.killSetID(n)
		}
		if err != nil {
			return err
		}
	}
	if in.Valid&(fuse.FATTR_MODE|fuse.FATTR_UID|fuse.FATTR_GID) != 0 {
		if err := f.withUpper(n, func(p at) error { return f.setOwnerMode(n, p, in) }); err != nil {
			return err
		}
	}
	if in.Valid&(fuse.FATTR_ATIME|fuse.FATTR_MTIME) != 0 {
		return f.withUpper(n, func(p at) error { return p.utimens(setTimes(in)) })
	}
	return nil
}

// setTimes turns a request's times to those of utimensat(2).
func setTimes(in *fuse.SetAttrIn) (atime, mtime unix.Timespec) {
	one := func(set, now uint32, sec uint64, nsec uint32) unix.Timespec {
		switch {
		case in.Valid&set == 0:
			return unix.Timespec{Nsec: unix.UTIME_OMIT}
		case in.Valid&now != 0:
			return unix.Timespec{Nsec: unix.UTIME_NOW}
		}
		return unix.Timespec{Sec: int64(sec), Nsec: int64(nsec)}
	}
	return one(fuse.FATTR_ATIME, fuse.FATTR_ATIME_NOW, in.Atime, in.Atimensec),
		one(fuse.FATTR_MTIME, fuse.FATTR_MTIME_NOW, in.Mtime, in.Mtimensec)
}

// setOwnerMode changes owner and mode of the object at p: on the object where
// that is possible, else in override_stat, where they then stay.
func (f *FS) setOwnerMode(n *node, p at, in *fuse.SetAttrIn) error {
	up := n.up.Load()
	s := spec{typ: n.typ}
	if f.upper.override { // else only what is asked for is written
		var st unix.Stat_t
		if err := p.stat(&st); err != nil {
			return err
		}
		s.perm, s.uid, s.gid, s.rdev = st.Mode&07777, st.Uid, st.Gid, uint32(st.Rdev)
	}
	override := up.override.Load()
	if override {
		o, err := f.readOverride(p)
		if err != nil {
			return err
		}
		if o != nil {
			s.uid, s.gid, s.perm, s.rdev = o.uid, o.gid, o.perm, o.rdev
		}
	}
	owner := false
	for _, id := range []struct {
		valid, want uint32
		dst         *uint32
		m           *idMap
	}{{fuse.FATTR_UID, in.Uid, &s.uid, &f.uids}, {fuse.FATTR_GID, in.Gid, &s.gid, &f.gids}} {
		if in.Valid&id.valid == 0 {
			continue
		}
		*id.dst, owner = id.m.out(id.want), true
	}
	if owner && !n.isDir() {
		// chown(2) takes setuid away, and setgid from what its group may run,
		// and file capabilities.
		s.perm = withoutSetID(s.perm)
		f.dropEncodedCaps(n, p)
	}
	if in.Valid&fuse.FATTR_MODE != 0 {
		s.perm = in.Mode & 07777
	}
	if override {
		return f.upper.writeOverride(p, s)
	}
	err := f.setNative(n, p, in, s, owner)
	if !f.upper.override || !refused(err) {
		return err
	}
	if !attributed(n.typ) {
		return f.replaceSpecial(n, p, s)
	}
	if err := f.upper.writeOverride(p, s); err != nil {
		return err
	}
	up.override.Store(true)
	return nil
}

func (f *FS) setNative(n *node, p at, in *fuse.SetAttrIn, s spec, owner bool) error {
	if f.upper.always {
		return unix.EPERM
	}
	if owner {
		uid, gid := -1, -1
		if in.Valid&fuse.FATTR_UID != 0 {
			uid = int(s.uid)
		}
		if in.Valid&fuse.FATTR_GID != 0 {
			gid = int(s.gid)
		}
		if err := p.chown(uid, gid); err != nil {
			return err
		}
	}
	if in.Valid&fuse.FATTR_MODE == 0 {
		return nil
	}
	if n.typ == unix.S_IFLNK {
		return unix.EOPNOTSUPP
	}
	if !f.upper.caps && attributed(n.typ) && s.perm&ownerBits(n.typ) != ownerBits(n.typ) {
		return unix.EPERM // this process would lock itself out
	}
	return p.chmod(s.perm)
}

// replaceSpecial makes a symlink, fifo or socket whose owner or mode has to be
// recorded a regular file that stands for it, since these have no user
// attributes. Its other names, should it have any, stay as they are.
func (f *FS) replaceSpecial(n *node, p at, s spec) error {
	if p.name == "" {
		return nil // unlinked: it will never be looked up again
	}
	if n.typ == unix.S_IFLNK {
		target, err := p.readlink()
		if err != nil {
			return err
		}
		s.target = target
	}
	t := f.upper.temp()
	err := f.upper.makeStandIn(t, s)
	if err == nil {
		var st unix.Stat_t
		if err = t.stat(&st); err == nil {
			_ = t.setxattr(f.upper.marks+markOrigin, f.upper.origin(n.up.Load().ino), 0)
			err = renameat(t, p, 0)
		}
		if err == nil {
			old := n.up.Load()
			up := &upperObj{key: upperTag | st.Ino, ino: old.ino}
			up.override.Store(true)
			n.up.Store(up)
			f.ids.drop(old.key, n)
			f.ids.put(up.key, n)
		}
	}
	if err != nil {
		f.upper.discard(t)
	}
	return err
}

// withoutSetID is a mode after a write or chown by somebody unprivileged.
func withoutSetID(perm uint32) uint32 {
	perm &^= unix.S_ISUID
	if perm&unix.S_IXGRP != 0 {
		perm &^= unix.S_ISGID
	}
	return perm
}

// killSetID takes setuid and setgid away after a write, as the kernel asked to
// (FUSE_HANDLE_KILLPRIV_V2). File capabilities have gone with the write itself.
func (f *FS) killSetID(n *node) error {
	return f.withUpper(n, func(p at) error {
		var st unix.Stat_t
		if err := p.stat(&st); err != nil {
			return err
		}
		if n.up.Load().override.Load() {
			o, err := f.readOverride(p)
			if err != nil || o == nil || withoutSetID(o.perm) == o.perm {
				return err
			}
			return f.upper.writeOverride(p, spec{typ: n.typ, perm: withoutSetID(o.perm), uid: o.uid, gid: o.gid, rdev: o.rdev})
		}
		if perm := st.Mode & 07777; withoutSetID(perm) != perm {
			return p.chmod(withoutSetID(perm))
		}
		return nil
	})
}

// dropEncodedCaps takes away file capabilities that are kept under another
// name: the filesystem does it for those under their own at every write and
// chown. Once a node is without, it stays so until somebody sets them.
func (f *FS) dropEncodedCaps(n *node, p at) {
	up := n.up.Load()
	if !f.upper.override || up.noCaps.Load() {
		return
	}
	if err := p.removexattr(encodedXattr + capabilityXattr); err == nil || isErrno(err, unix.ENODATA, unix.EOPNOTSUPP) {
		up.noCaps.Store(true)
	}
}

package unionfs

import (
	"path"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Sizes for copyUp.
const (
	whole  = int64(-1) // all the data, which is to be written to
	intact = int64(-2) // all the data, which stays as it is: only attributes or names change
)

// copyUp gives n's object a place in the upper directory: its parents first,
// then a copy made in the work directory, renamed into place. A process killed
// at any line leaves the file below in its place, or the complete copy; what is
// left in the work directory is cleared by the next mount.
//
// Of a file's data the first size bytes are wanted (whole, intact: all of it): a
// truncation needs no more. The data of a large one is not copied now but left
// below, see [partial]. The caller holds no lock. Whoever is asked again for
// a node that is there already returns at once.
func (f *FS) copyUp(n *node, size int64) error {
	for !n.hasUpper() {
		if f.upper == nil {
			return unix.EROFS
		}
		if err := f.copyUpOnce(n, size); err != errMoved {
			return err
		}
	}
	return nil
}

// errMoved: the object's name went while it was copied. It never leaves this file.
const errMoved = unix.EREMCHG

func (f *FS) copyUpOnce(n *node, size int64) error {
	names, err := f.prepareNames(n)
	if err != nil {
		return err
	}
	defer f.putNames(names)
	m := &f.copying[n.id%uint64(len(f.copying))]
	m.Lock()
	defer m.Unlock()
	if n.hasUpper() {
		return nil
	}
	t := f.upper.temp()
	late, err := f.copyToWork(n, t, size, names)
	if err == nil {
		err = f.publish(n, t, names, late)
	}
	if err != nil || len(names) > 1 {
		f.upper.discard(t)
	}
	if err == nil && n.up.Load().entry != nil {
		err = f.linkName(n, names[0])
	}
	return err
}

// copyToWork makes a copy of n's lower object at t: complete, or lacking what late says.
func (f *FS) copyToWork(n *node, t at, size int64, names []groupName) (late *partial, err error) {
	var a fuse.Attr
	if err := f.lower.attr(n.lower, &a); err != nil {
		return nil, err
	}
	s := specOf(&a)
	if s.typ == unix.S_IFLNK {
		target, err := f.lower.readlink(n.lower)
		if err != nil {
			return nil, err
		}
		s.target = string(target)
	}
	override, err := f.upper.make(t, s)
	if err != nil {
		return nil, err
	}
	if err := f.copyXattrs(n, t, s, override); err != nil {
		return nil, err
	}
	if s.typ == unix.S_IFREG && a.Size > 0 && size != 0 {
		if late, err = f.copyData(n, t, int64(a.Size), size, names); err != nil {
			return nil, err
		}
	}
	// Without attributes of its own a symlink's or device's number can't be
	// kept; that is no reason to refuse the copy.
	if s.typ != unix.S_IFDIR {
		_ = t.setxattr(f.upper.marks+markOrigin, f.upper.origin(f.lower.ino(n.lower)), 0)
	}
	mtime := unix.Timespec{Sec: int64(a.Mtime), Nsec: int64(a.Mtimensec)}
	if size >= 0 && late == nil {
		mtime = unix.Timespec{Nsec: unix.UTIME_NOW} // it is truncated already, should this be all that is done
	}
	return late, t.utimens(unix.Timespec{Sec: int64(a.Atime), Nsec: int64(a.Atimensec)}, mtime)
}

// copyData gives the copy at t its data, of which there are size bytes below
// and want are wanted, or the marks of a file that lacks it.
func (f *FS) copyData(n *node, t at, size, want int64, names []groupName) (*partial, error) {
	fd, err := t.open(unix.O_WRONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	late := size >= lateFrom && (want == intact && f.upper.metacopy || want != intact && f.upper.partial)
	var p *partial
	switch c, ok := f.lower.(cloner); {
	case size >= lateFrom && ok && c.clone(n.lower, fd) == nil:
	case late:
		if err := unix.Ftruncate(fd, size); err != nil {
			return nil, err
		}
		if p, err = f.leaveBelow(n, t, size, names); err != nil {
			return nil, err
		}
	default:
		if want >= 0 {
			size = min(size, want)
		}
		if err := f.lower.copyTo(n.lower, fd, size); err != nil {
			return nil, err
		}
	}
	// Writing took file capabilities away.
	if v, err := f.lower.getxattr(n.lower, capabilityXattr); err == nil {
		if err := f.upper.setXattr(t, capabilityXattr, v, 0); err != nil {
			return nil, err
		}
	}
	if p != nil || f.upper.volatile {
		return p, nil
	}
	// As overlayfs does: the rename must not become durable before the data.
	return nil, eintr(func() error { return unix.Fsync(fd) })
}

// leaveBelow marks the copy at t, a hole of size bytes, as one whose data is in
// n's lower file. One that has no name needs no marks: nobody will find it.
func (f *FS) leaveBelow(n *node, t at, size int64, names []groupName) (*partial, error) {
	if len(names) == 0 {
		return newPartial(n.lower, "", size), nil
	}
	dir, err := f.lowerPath(names[0].dir)
	if err != nil {
		return nil, err
	}
	where := path.Join(dir, names[0].name)
	if e, err := f.lowerAt(where); err != nil || f.lower.ino(e.ref) != f.lower.ino(n.lower) {
		return nil, errMoved // renamed since its names were looked up
	}
	if err := t.setxattr(f.upper.marks+markRedirect, []byte(where), 0); err != nil {
		return nil, err
	}
	if err := t.setxattr(f.upper.marks+markMetacopy, nil, 0); err != nil {
		return nil, err
	}
	return newPartial(n.lower, where, size), nil
}

// A cloner is a lower that may share a whole file's blocks (FICLONE) with dst,
// an empty file; it fails where the filesystem can't.
type cloner interface {
	clone(r lowerRef, dst int) error
}

const capabilityXattr = "security.capability"

// copyXattrs gives the copy at t, made as s says, the attributes of n's lower
// object. ACLs that it can't have narrow its mode instead.
func (f *FS) copyXattrs(n *node, t at, s spec, override bool) error {
	var names []string
	if err := f.lower.listxattr(n.lower, func(name string) { names = append(names, name) }); err != nil {
		return err
	}
	for _, name := range names {
		stored, ok := f.copiedXattr(name)
		if !ok {
			continue
		}
		v, err := f.lower.getxattr(n.lower, name)
		if err != nil {
			return err
		}
		if isACL(name) {
			err = f.upper.copyACL(t, name, v, s, override)
		} else {
			err = f.upper.setXattr(t, stored, v, 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyACL gives the object at t an ACL. Where its mode is in override_stat, or
// the filesystem keeps no ACLs, or this process can't name somebody in it, the
// mode is narrowed instead; a default ACL is left out.
func (u *upperDir) copyACL(t at, name string, v []byte, s spec, override bool) error {
	if !override {
		err := t.setxattr(name, v, 0)
		if !refused(err) && !isErrno(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	if name != aclAccess {
		return nil
	}
	s.perm = withoutACL(s.perm, v)
	if override {
		return u.writeOverride(t, s)
	}
	return t.chmod(s.perm)
}

// publish moves the copy at t to n's names and makes it what n is. Their
// directories keep their times: to whoever looks nothing has changed.
func (f *FS) publish(n *node, t at, names []groupName, late *partial) error {
	var st unix.Stat_t
	if err := t.stat(&st); err != nil {
		return err
	}
	m, err := f.upper.readMarks(t)
	if err != nil {
		return err
	}
	up := f.newUpperObj(n, &st, m)
	up.redirect = "" // a directory's; that of a file without data is in late
	up.partial.Store(late)
	if len(names) == 0 {
		// Unlinked, but still in use.
		n.mu.Lock()
		defer n.mu.Unlock()
		fd, err := t.open(unix.O_PATH)
		if err != nil {
			return err
		}
		if err := unix.Unlinkat(t.dirfd, t.name, 0); err != nil {
			unix.Close(fd)
			return err
		}
		up.pin.Store(newHandle(fd, false))
		n.up.Store(up)
		return nil
	}
	h, err := f.grouped(n)
	if err != nil {
		return err
	}
	if h != nil {
		return f.publishIndexed(n, up, t, h)
	}
	if len(names) == 1 {
		return f.publishName(n, up, t, names[0], true)
	}
	// Kept under another name until all are there, so that the next mount can
	// complete the group.
	ino := f.lower.ino(n.lower)
	if err := f.upper.beginGroup(t, ino); err != nil {
		return err
	}
	defer f.upper.endGroup(ino)
	for _, g := range names {
		if err := f.publishName(n, up, t, g, false); err != nil {
			return err
		}
	}
	return nil
}

// publishName moves or links the copy at t to a name.
func (f *FS) publishName(n *node, up *upperObj, t at, g groupName, move bool) error {
	g.dir.dir.mu.Lock()
	defer g.dir.dir.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.hasUpper() && (n.parent != g.dir || n.name != g.name) {
		return errMoved
	}
	h, err := f.dirHandle(g.dir)
	if err != nil {
		return err
	}
	defer h.put()
	var before unix.Stat_t
	if err := (at{h.fd, ""}).stat(&before); err != nil {
		return err
	}
	if move {
		err = renameat(t, at{h.fd, g.name}, unix.RENAME_NOREPLACE)
	} else if err = unix.Linkat(t.dirfd, t.name, h.fd, g.name, 0); err == unix.EEXIST && n.hasUpper() {
		return nil // that name is another file by now
	}
	if err != nil {
		return err
	}
	if err := (at{h.fd, ""}).utimens(before.Atim, before.Mtim); err != nil {
		return err
	}
	inLower, err := f.inLower(g.dir, g.name)
	if err != nil {
		return err
	}
	g.dir.dir.set(g.name, inLower, false)
	if !n.hasUpper() {
		n.up.Store(up)
		f.ids.put(up.key, n)
	}
	return nil
}

package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Create answers ENOSYS: the kernel then makes files with MKNOD and needs no
// handle for them.
func (f *FS) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	f.count(opCreate)
	return fuse.ENOSYS
}

// Mknod implements [fuse.RawFileSystem].
func (f *FS) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	f.count(opMknod)
	typ := in.Mode & unix.S_IFMT
	if typ == unix.S_IFCHR && in.Rdev == 0 {
		// It would be a whiteout.
		return fuse.EPERM
	}
	return f.create(&in.InHeader, name, spec{typ: typ, perm: in.Mode & 07777, rdev: in.Rdev, umask: in.Umask}, out)
}

// Mkdir implements [fuse.RawFileSystem].
func (f *FS) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	f.count(opMkdir)
	return f.create(&in.InHeader, name, spec{typ: unix.S_IFDIR, perm: in.Mode & 07777, umask: in.Umask}, out)
}

// Symlink implements [fuse.RawFileSystem].
func (f *FS) Symlink(_ <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	f.count(opSymlink)
	return f.create(h, name, spec{typ: unix.S_IFLNK, perm: 0777, target: target}, out)
}

func (f *FS) create(h *fuse.InHeader, name string, s spec, out *fuse.EntryOut) fuse.Status {
	p := f.node(h.NodeId)
	if p == nil || !p.isDir() {
		return fuse.Status(unix.ESTALE)
	}
	if f.upper == nil {
		return fuse.EROFS
	}
	if len(name) > unix.NAME_MAX {
		return fuse.Status(unix.ENAMETOOLONG)
	}
	n, err := f.createAt(p, h, name, s, &out.Attr)
	if err != nil {
		return status(err)
	}
	fillEntry(n, out)
	return fuse.OK
}

// createAt makes a new object. It is complete before it has its name: when
// nothing is in the way it is made there with no permissions for others, and
// over a whiteout it is made in the work directory.
func (f *FS) createAt(p *node, caller *fuse.InHeader, name string, s spec, a *fuse.Attr) (*node, error) {
	if err := f.copyUp(p, whole); err != nil {
		return nil, err
	}
	p.dir.mu.Lock()
	defer p.dir.mu.Unlock()
	if err := f.inherit(p, caller, &s); err != nil {
		return nil, err
	}
	h, err := f.dirHandle(p)
	if err != nil {
		return nil, err
	}
	defer h.put()
	q := at{h.fd, name}
	white, err := f.checkFree(p, q)
	if err != nil {
		return nil, err
	}
	inLower, err := f.inLower(p, name)
	if err != nil {
		return nil, err
	}
	var m made
	if !white {
		m, err = f.upper.bear(q, s)
	} else {
		m, err = f.createOver(q, s, s.typ == unix.S_IFDIR && inLower)
	}
	if err != nil {
		return nil, err
	}
	defer m.close()
	p.dir.set(name, inLower, false)
	return f.newNode(p, q, s, m, a)
}

// checkFree makes sure that q, in the upper part of directory p, names nothing
// that shows, and tells whether a whiteout is there. Requires p.dir.mu.
func (f *FS) checkFree(p *node, q at) (white bool, err error) {
	if p.dir.loaded {
		e, ok := p.dir.names[q.name]
		if ok && !e.whiteout {
			return false, unix.EEXIST
		}
		if ok {
			return true, nil
		}
	} else {
		var st unix.Stat_t
		err := q.stat(&st)
		switch {
		case err == nil:
			white, err := f.isWhiteout(q, st.Mode&unix.S_IFMT, p.dir.xwh)
			if err == nil && !white {
				err = unix.EEXIST
			}
			return white, err
		case err != unix.ENOENT:
			return false, err
		}
	}
	inLower, err := f.inLower(p, q.name)
	if err == nil && inLower {
		err = unix.EEXIST
	}
	return false, err
}

// createOver makes an object in the work directory and puts it in the place of
// the whiteout at q.
func (f *FS) createOver(q at, s spec, opaque bool) (made, error) {
	u := f.upper
	t := u.temp()
	m, err := u.bear(t, s)
	if err != nil {
		return m, err
	}
	m.st = unix.Stat_t{} // moving it changes a time
	if opaque {
		err = t.setxattr(u.marks+markOpaque, []byte("y"), 0)
	}
	if err == nil {
		if s.typ == unix.S_IFDIR {
			if err = renameat(t, q, unix.RENAME_EXCHANGE); err == nil {
				u.discard(t) // the whiteout
				return m, nil
			}
		} else {
			err = renameat(t, q, 0)
		}
	}
	if err != nil {
		m.close()
		u.discard(t)
	}
	return m, err
}

// newNode makes the node of an object just created at q in directory p.
func (f *FS) newNode(p *node, q at, s spec, m made, a *fuse.Attr) (*node, error) {
	st := m.st
	if st.Ino == 0 {
		if err := q.stat(&st); err != nil {
			return nil, err
		}
	}
	n := &node{typ: s.typ}
	if n.isDir() {
		n.dir = new(dirState)
		n.dir.empty()
	}
	var marks marks
	if m.override {
		o, err := f.readOverride(q)
		if err != nil {
			return nil, err
		}
		marks.override = o
	}
	up := f.newUpperObj(n, &st, marks)
	up.bare.Store(!m.override && s.access == nil && s.def == nil)
	n.up.Store(up)
	n, err := f.adopt(n, up.key, p, q.name)
	if err != nil {
		return nil, err
	}
	if m.file != nil {
		f.files.add(n.id, n, m.file)
	}
	f.fillAttr(n, n.up.Load(), &st, marks.override, a)
	return n, nil
}

// Link implements [fuse.RawFileSystem].
func (f *FS) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	f.count(opLink)
	p, n := f.node(in.NodeId), f.node(in.Oldnodeid)
	if p == nil || n == nil || !p.isDir() {
		return fuse.Status(unix.ESTALE)
	}
	if n.isDir() {
		return fuse.EPERM
	}
	if f.upper == nil {
		return fuse.EROFS
	}
	if len(name) > unix.NAME_MAX {
		return fuse.Status(unix.ENAMETOOLONG)
	}
	if err := f.link(p, n, name); err != nil {
		return status(err)
	}
	n.refs.Add(1)
	if err := f.attr(n, &out.Attr); err != nil {
		f.unref(n, 1)
		return status(err)
	}
	fillEntry(n, out)
	return fuse.OK
}

func (f *FS) link(p, n *node, name string) error {
	if err := f.copyUp(n, intact); err != nil {
		return err
	}
	if err := f.copyUp(p, whole); err != nil {
		return err
	}
	p.dir.mu.Lock()
	defer p.dir.mu.Unlock()
	h, err := f.dirHandle(p)
	if err != nil {
		return err
	}
	defer h.put()
	q := at{h.fd, name}
	white, err := f.checkFree(p, q)
	if err != nil {
		return err
	}
	inLower, err := f.inLower(p, name)
	if err != nil {
		return err
	}
	if err := f.impureFor(n, h.fd); err != nil {
		return err
	}
	n.mu.Lock()
	err = f.withPlace(n, func(from at) error {
		if !white {
			return linkat(from, q)
		}
		t := f.upper.temp()
		if err := linkat(from, t); err != nil {
			return err
		}
		if err := renameat(t, q, 0); err != nil {
			f.upper.discard(t)
			return err
		}
		return nil
	})
	n.mu.Unlock()
	if err != nil {
		return err
	}
	p.dir.set(name, inLower, false)
	f.settle(n, p, name) // an O_TMPFILE that gets its first name
	f.ids.put(n.up.Load().key, n)
	return nil
}

// linkat gives the object at from a second name.
func linkat(from, to at) error {
	if from.name == "" {
		return unix.Linkat(unix.AT_FDCWD, from.path(), to.dirfd, to.name, unix.AT_SYMLINK_FOLLOW)
	}
	return unix.Linkat(from.dirfd, from.name, to.dirfd, to.name, 0)
}

// renameat moves; a filesystem that knows no flags is asked without
// RENAME_NOREPLACE, which is only a precaution here.
func renameat(from, to at, flags uint) error {
	err := unix.Renameat2(from.dirfd, from.name, to.dirfd, to.name, flags)
	if flags == unix.RENAME_NOREPLACE && isErrno(err, unix.EINVAL, unix.ENOSYS) {
		err = unix.Renameat2(from.dirfd, from.name, to.dirfd, to.name, 0)
	}
	return err
}

package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Rename implements [fuse.RawFileSystem]. A directory that comes from below is
// not copied: its object in the upper directory gets a redirect, which the
// kernel's overlayfs follows too.
func (f *FS) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	f.count(opRename)
	from, to := f.node(in.NodeId), f.node(in.Newdir)
	if from == nil || to == nil || !from.isDir() || !to.isDir() {
		return fuse.Status(unix.ESTALE)
	}
	if f.upper == nil {
		return fuse.EROFS
	}
	if in.Flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return fuse.EINVAL
	}
	if len(newName) > unix.NAME_MAX {
		return fuse.Status(unix.ENAMETOOLONG)
	}
	r := move{f: f, from: from, to: to, oldName: oldName, newName: newName, flags: uint(in.Flags)}
	return status(r.run())
}

// move is one rename. The kernel holds both directories for its duration, so
// what is copied up before the locks are taken is still there after.
type move struct {
	f                *FS
	from, to         *node
	oldName, newName string
	flags            uint

	src, dst         *node // dst nil: nothing there
	src0, dst0       at
	srcLow, dstLow   bool // the lower has the name there
	srcMark, dstMark string
}

func (r *move) exchange() bool { return r.flags&unix.RENAME_EXCHANGE != 0 }

func (r *move) run() error {
	f := r.f
	var a fuse.Attr
	src, err := f.lookup(r.from, r.oldName, &a)
	if err != nil {
		return err
	}
	defer f.unref(src, 1)
	r.src = src
	dst, err := f.lookup(r.to, r.newName, &a)
	switch {
	case err == nil:
		defer f.unref(dst, 1)
		r.dst = dst
	case err != unix.ENOENT:
		return err
	}
	if done, err := r.check(); done || err != nil {
		return err
	}
	for _, n := range []*node{r.from, r.to, src} {
		if err := f.copyUp(n, intact); err != nil {
			return err
		}
	}
	if r.exchange() {
		if err := f.copyUp(dst, intact); err != nil {
			return err
		}
	}
	if err := f.linkUp(src, r.from, r.oldName); err != nil {
		return err
	}
	if dst != nil {
		if err := f.linkUp(dst, r.to, r.newName); err != nil {
			return err
		}
	}
	defer r.lock()()
	return r.locked()
}

// check finds what rename(2) refuses, and what it has nothing to do for.
func (r *move) check() (done bool, err error) {
	src, dst := r.src, r.dst
	switch {
	case r.exchange() && dst == nil:
		return false, unix.ENOENT
	case dst == nil:
	case r.flags&unix.RENAME_NOREPLACE != 0:
		return false, unix.EEXIST
	case dst == src:
		return true, nil
	case r.exchange():
	case src.isDir() && !dst.isDir():
		return false, unix.ENOTDIR
	case !src.isDir() && dst.isDir():
		return false, unix.EISDIR
	}
	if r.f.opts.NoRedirect && (src.isDir() && src.lower.ok() || r.exchange() && dst.isDir() && dst.lower.ok()) {
		return false, unix.EXDEV
	}
	return false, nil
}

// lock takes the directories' locks by node id, then those of a directory that
// is replaced, then the nodes'. It returns the function that releases them.
func (r *move) lock() func() {
	a, b := r.from, r.to
	if a.id > b.id {
		a, b = b, a
	}
	var undo []func()
	lock := func(l interface {
		Lock()
		Unlock()
	}) {
		l.Lock()
		undo = append(undo, l.Unlock)
	}
	lock(&a.dir.mu)
	if a != b {
		lock(&b.dir.mu)
	}
	if r.dst != nil && r.dst.isDir() && r.dst != a && r.dst != b {
		lock(&r.dst.dir.mu)
	}
	x, y := r.src, r.dst
	if y != nil && y.id < x.id {
		x, y = y, x
	}
	lock(&x.mu)
	if y != nil && y != x {
		lock(&y.mu)
	}
	return func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
}

// locked does the rename with all locks but places held.
func (r *move) locked() error {
	f := r.f
	if r.dst != nil && r.dst.isDir() && !r.exchange() {
		empty, err := f.isEmpty(r.dst)
		if err == nil && !empty {
			err = unix.ENOTEMPTY
		}
		if err != nil {
			return err
		}
	}
	var err error
	if r.srcLow, err = f.inLower(r.from, r.oldName); err != nil {
		return err
	}
	if r.dstLow, err = f.inLower(r.to, r.newName); err != nil {
		return err
	}
	fh, err := f.dirHandle(r.from)
	if err != nil {
		return err
	}
	defer fh.put()
	th, err := f.dirHandle(r.to)
	if err != nil {
		return err
	}
	defer th.put()
	r.src0, r.dst0 = at{fh.fd, r.oldName}, at{th.fd, r.newName}

	// The marks come first: a directory that has one too many is still the same
	// directory in its old place.
	if r.srcMark, err = r.mark(r.src, r.src0, r.dstLow); err != nil {
		return err
	}
	if r.exchange() {
		if r.dstMark, err = r.mark(r.dst, r.dst0, r.srcLow); err != nil {
			return err
		}
	}
	if err := f.impureFor(r.src, th.fd); err != nil {
		return err
	}
	if r.exchange() {
		if err := f.impureFor(r.dst, fh.fd); err != nil {
			return err
		}
	}
	dirs := r.src.isDir() || r.exchange() && r.dst.isDir()
	if r.dst != nil && !r.exchange() {
		if err := r.clearTarget(); err != nil {
			return err
		}
	}
	if dirs || r.dst != nil && r.dst.isDir() {
		f.places.Lock()
		defer f.places.Unlock()
	}
	if err := r.rename(); err != nil {
		return err
	}
	r.settle()
	if r.dst != nil && !r.exchange() {
		f.dropEntry(r.dst)
	}
	return nil
}

// mark prepares a directory for a place where the lower may have another
// directory of its name: what it is merged with is written into it, or that it
// is merged with nothing. It returns the redirect.
func (r *move) mark(n *node, p at, low bool) (string, error) {
	f := r.f
	if !n.isDir() {
		return "", nil
	}
	if n.lower.ok() {
		to, err := f.lowerPath(n)
		if err != nil {
			return "", err
		}
		return to, p.setxattr(f.upper.marks+markRedirect, []byte(to), 0)
	}
	if !low {
		return "", nil
	}
	return "", p.setxattr(f.upper.marks+markOpaque, []byte("y"), 0)
}

// clearTarget pins what the rename replaces, and makes an upper directory that
// shows nothing one that holds nothing.
func (r *move) clearTarget() error {
	f, dst := r.f, r.dst
	if !dst.hasUpper() {
		return nil
	}
	if err := dst.pin(r.dst0); err != nil {
		return err
	}
	if !dst.isDir() {
		return nil
	}
	h, err := f.dirHandle(dst)
	if err != nil {
		return err
	}
	defer h.put()
	if len(dst.dir.names) == 0 {
		return nil
	}
	var st unix.Stat_t
	if err := (at{h.fd, ""}).stat(&st); err != nil {
		return err
	}
	t := f.upper.temp()
	if _, err := f.upper.make(t, spec{typ: unix.S_IFDIR, perm: st.Mode & 07777, uid: st.Uid, gid: st.Gid}); err != nil {
		return err
	}
	err = t.setxattr(f.upper.marks+markOpaque, []byte("y"), 0)
	if err == nil {
		err = renameat(t, r.dst0, unix.RENAME_EXCHANGE)
	}
	f.upper.discard(t)
	return err
}

// rename moves the object, and leaves a whiteout where the lower shows through.
func (r *move) rename() error {
	f := r.f
	if r.exchange() {
		return renameat(r.src0, r.dst0, unix.RENAME_EXCHANGE)
	}
	// A directory can't replace the whiteout, or the whiteouted file, of a name.
	if r.src.isDir() {
		var st unix.Stat_t
		err := r.dst0.stat(&st)
		if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			var src unix.Stat_t
			if err := r.src0.stat(&src); err != nil {
				return err
			}
			if err := renameat(r.src0, r.dst0, unix.RENAME_EXCHANGE); err != nil {
				return err
			}
			_ = r.dst0.utimens(src.Atim, src.Mtim) // XFS makes what is exchanged new; a rename doesn't
			// The whiteout is where the directory was: just where one belongs, or
			// one too many.
			if !r.srcLow {
				return unix.Unlinkat(r.src0.dirfd, r.src0.name, 0)
			}
			return nil
		}
		if err != nil && err != unix.ENOENT {
			return err
		}
	}
	if !r.srcLow {
		return renameat(r.src0, r.dst0, 0)
	}
	err := renameat(r.src0, r.dst0, unix.RENAME_WHITEOUT)
	if isErrno(err, unix.EINVAL, unix.EPERM, unix.ENOSYS) {
		if err = renameat(r.src0, r.dst0, 0); err == nil {
			err = f.whiteout(r.from, r.src0)
		}
	}
	return err
}

// settle tells the nodes and the directories what has happened.
func (r *move) settle() {
	f := r.f
	if r.exchange() {
		r.from.dir.set(r.oldName, r.srcLow, false)
		r.to.dir.set(r.newName, r.dstLow, false)
		f.resettle(r.src, r.from, r.oldName, r.to, r.newName)
		f.resettle(r.dst, r.to, r.newName, r.from, r.oldName)
		r.redirected(r.dst, r.dstMark)
	} else {
		if r.srcLow {
			r.from.dir.set(r.oldName, true, true)
		} else {
			r.from.dir.remove(r.oldName)
		}
		r.to.dir.set(r.newName, r.dstLow, false)
		if r.dst != nil {
			if !r.dst.hasUpper() {
				f.lostName(r.dst)
			}
			f.unsettle(r.dst, r.to, r.newName)
			r.dst.unpin()
		}
		f.resettle(r.src, r.from, r.oldName, r.to, r.newName)
	}
	r.redirected(r.src, r.srcMark)
}

func (r *move) redirected(n *node, to string) {
	if to != "" {
		n.up.Load().redirect = to
	}
}

// resettle moves n's place if it is the one that was renamed. Requires n.mu,
// and places for a directory.
func (f *FS) resettle(n, from *node, oldName string, to *node, newName string) {
	if n.parent != nil && (n.parent != from || n.name != oldName) {
		return // found under another of its names
	}
	to.refs.Add(1)
	old := n.parent
	n.parent, n.name = to, newName
	if old != nil {
		f.unref(old, 1)
	}
	n.unpin()
}

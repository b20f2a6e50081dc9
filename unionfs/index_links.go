package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// hiddenNames is upperObj.hidden for an object in the index with that stat and
// those marks: without a mark the index's own link is one that doesn't show.
func hiddenNames(st *unix.Stat_t, m *marks) int64 {
	if of, more, ok := parseNlink(m.nlink); ok && of == 'U' {
		return more
	}
	return -1
}

// grouped tells whether n is a lower file that gets an entry in the index when
// it is copied up, and under which handle.
func (f *FS) grouped(n *node) (kernelHandle, error) {
	if f.index == nil || n.isDir() || !n.lower.ok() {
		return nil, nil
	}
	h, _, err := f.index.lower.handle(n.lower)
	return h, err
}

// publishIndexed moves the copy at t of n's lower file into the index, and makes
// it what n is: all its names show it from then on.
func (f *FS) publishIndexed(n *node, up *upperObj, t at, h kernelHandle) error {
	var a fuse.Attr
	if err := f.attr(n, &a); err != nil { // counts the names that show
		return err
	}
	more := int64(a.Nlink) - 1
	if err := t.setxattr(f.upper.marks+markKernelOrigin, h, 0); err != nil {
		return err
	}
	if err := t.setxattr(f.upper.marks+markNlink, nlinkMark('U', more), 0); err != nil {
		return err
	}
	x := f.index
	n.mu.Lock()
	defer n.mu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := renameat(t, at{x.dir, h.name()}, unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	up.entry = x.add(h, up.key&^upperTag)
	up.hidden.Store(more)
	n.up.Store(up)
	f.ids.put(up.key, n)
	return nil
}

// linkUp gives a name of a file that is, or will be, in the index a place in the
// upper directory, before a change of the name: how many names show is then
// right whenever the server is killed, as names and links go together. It does
// nothing for other files. Requires that the name stays what it is, as the
// kernel has it during a request about it.
func (f *FS) linkUp(n, p *node, name string) error {
	if f.index == nil || n.isDir() {
		return nil
	}
	if !n.hasUpper() {
		if h, err := f.grouped(n); h == nil || err != nil {
			return err
		}
		if err := f.copyUp(n, intact); err != nil {
			return err
		}
	}
	if n.up.Load().entry == nil {
		return nil
	}
	if err := f.copyUp(p, whole); err != nil {
		return err
	}
	return f.linkName(n, groupName{p, name})
}

// linkUpNamed is linkUp for what is found under a name, if anything is.
func (f *FS) linkUpNamed(p *node, name string) error {
	if f.index == nil {
		return nil
	}
	var a fuse.Attr
	n, err := f.lookup(p, name, &a)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.unref(n, 1)
	return f.linkUp(n, p, name)
}

// linkName links the entry of n, which is in the index, to a name that leads to
// the lower file, if it still does. The directory keeps its times.
func (f *FS) linkName(n *node, g groupName) error {
	g.dir.dir.mu.Lock()
	defer g.dir.dir.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	up := n.up.Load()
	h, err := f.dirHandle(g.dir)
	if err != nil {
		return err
	}
	defer h.put()
	q := at{h.fd, g.name}
	var st unix.Stat_t
	if err := q.stat(&st); err != unix.ENOENT {
		return err // it has a place, or a whiteout
	}
	if !g.dir.lower.ok() {
		return nil
	}
	e, err := f.lower.lookup(g.dir.lower, g.name)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	low, links, err := f.index.lower.handle(e.ref)
	if err != nil || low == nil || f.index.find(low) != up.entry {
		return err
	}
	from := f.index.at(up.entry)
	if err := from.stat(&st); err != nil {
		return err
	}
	shown := int64(st.Nlink) + up.hidden.Load()
	// While the link comes the count is told by the lower file, which has as many
	// before as after (ovl_link_up in fs/overlayfs/copy_up.c).
	if err := from.setxattr(f.upper.marks+markNlink, nlinkMark('L', shown-int64(links)), 0); err != nil {
		return err
	}
	if err := f.impure(h.fd); err != nil {
		return err
	}
	if err := linkBeside(from, q); err != nil {
		return err
	}
	up.hidden.Add(-1)
	g.dir.dir.set(g.name, true, false)
	return from.setxattr(f.upper.marks+markNlink, nlinkMark('U', up.hidden.Load()), 0)
}

// impure marks a directory that gets a name of a file with a kernel's origin: only
// of such the kernel's overlay looks up what d_ino is.
func (f *FS) impure(dirfd int) error {
	d := at{dirfd, ""}
	if v, err := d.getxattr(f.upper.marks + markImpure); err == nil && string(v) == "y" {
		return nil
	}
	return d.setxattr(f.upper.marks+markImpure, []byte("y"), 0)
}

// impureFor is impure if n is in the index.
func (f *FS) impureFor(n *node, dirfd int) error {
	if n.up.Load().entry == nil {
		return nil
	}
	return f.impure(dirfd)
}

// linkBeside links what is at from to q. The directory keeps its times: to
// whoever looks nothing has changed.
func linkBeside(from, q at) error {
	var before unix.Stat_t
	if err := (at{q.dirfd, ""}).stat(&before); err != nil {
		return err
	}
	if err := linkat(from, q); err != nil {
		return err
	}
	return at{q.dirfd, ""}.utimens(before.Atim, before.Mtim)
}

// dropEntry takes n's entry out of the index when no name shows it any more; if
// that fails, the next mount does. One that somebody has linked by other means
// stays, as with the kernel (ovl_cleanup_index in fs/overlayfs/util.c). Requires
// n.mu, and that n is pinned.
func (f *FS) dropEntry(n *node) {
	up := n.up.Load()
	if up == nil || up.entry == nil {
		return
	}
	x := f.index
	x.mu.Lock()
	defer x.mu.Unlock()
	var st unix.Stat_t
	if x.inodes[up.entry.ino] != up.entry || x.at(up.entry).stat(&st) != nil {
		return
	}
	if st.Nlink == 1 && up.hidden.Load() < 0 && x.remove(up.entry) == nil {
		up.hidden.Store(0)
	}
}

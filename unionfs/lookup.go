package unionfs

import (
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Lookup implements [fuse.RawFileSystem]. A name that isn't there is an answer
// the kernel may keep, like any other.
func (f *FS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	f.count(opLookup)
	if f.aliased(h, name) {
		return status(f.lookupAlias(out))
	}
	p := f.node(h.NodeId)
	if p == nil || !p.isDir() {
		return fuse.Status(unix.ESTALE)
	}
	n, err := f.lookup(p, name, &out.Attr)
	if err == unix.ENOENT {
		out.EntryValid = forever
		return fuse.OK
	}
	if err != nil {
		return status(err)
	}
	fillEntry(n, out)
	return fuse.OK
}

// fillEntry completes an entry whose attributes are filled in. The reference
// that the caller holds becomes the kernel's.
func fillEntry(n *node, out *fuse.EntryOut) {
	out.NodeId, out.Generation = n.id, uint64(n.gen)
	out.EntryValid, out.AttrValid = forever, n.attrValid()
}

// Forget implements [fuse.RawFileSystem].
func (f *FS) Forget(id, nlookup uint64) {
	f.count(opForget)
	if n := f.node(id); n != nil && n != f.root {
		f.unref(n, int64(nlookup))
	}
}

// lookup finds a name: its node, with a reference, and its attributes.
func (f *FS) lookup(p *node, name string, a *fuse.Attr) (*node, error) {
	if !p.hasUpper() {
		return f.lookupLower(p, name, a)
	}
	p.dir.mu.RLock()
	defer p.dir.mu.RUnlock()
	return f.lookupLocked(p, name, a)
}

// lookupLocked requires p.dir.mu, at least for reading.
func (f *FS) lookupLocked(p *node, name string, a *fuse.Attr) (*node, error) {
	if !p.hasUpper() {
		return f.lookupLower(p, name, a)
	}
	look := true
	if p.dir.loaded {
		e, ok := p.dir.names[name]
		if e.whiteout {
			return nil, unix.ENOENT
		}
		look = ok
	}
	if look {
		h, err := f.dirHandle(p)
		if err != nil {
			return nil, err
		}
		n, err := f.upperNode(p, at{h.fd, name}, a)
		h.put()
		if err != unix.ENOENT {
			if err == errWhiteout {
				err = unix.ENOENT
			}
			return n, err
		}
	}
	return f.lookupLower(p, name, a)
}

// errWhiteout is a name that a whiteout removes. It never leaves this file's callers.
const errWhiteout = unix.ENOMEDIUM

func (f *FS) lookupLower(p *node, name string, a *fuse.Attr) (*node, error) {
	if !p.lower.ok() {
		return nil, unix.ENOENT
	}
	e, err := f.lower.lookup(p.lower, name)
	if err != nil {
		return nil, err
	}
	n, err := f.lowerNode(p, &e)
	if err != nil {
		return nil, err
	}
	if err := f.attr(n, a); err != nil {
		f.unref(n, 1)
		return nil, err
	}
	return n, nil
}

// lowerNode returns the node of a lower's entry in directory p.
func (f *FS) lowerNode(p *node, e *lowerEntry) (*node, error) {
	key := f.lower.ino(e.ref)
	if n := f.ids.get(key); n != nil {
		if n.parent == nil {
			f.settle(n, p, e.name)
		}
		return n, nil
	}
	if n, err := f.indexNode(p, e); n != nil || err != nil {
		return n, err
	}
	n := &node{typ: e.typ, lower: e.ref}
	if e.typ == unix.S_IFDIR {
		n.dir = new(dirState)
	}
	n, err := f.adopt(n, key, p, e.name)
	if err == nil && f.index != nil && !n.hasUpper() {
		// Another node may have been copied up since, and forgotten.
		m, err := f.indexNode(p, e)
		if m == n {
			f.unref(m, 1)
		} else if m != nil || err != nil {
			f.unref(n, 1)
			return m, err
		}
	}
	return n, err
}

// upperNode returns the node of the object at q in the upper part of directory
// p: ENOENT when there is none, errWhiteout when there is a whiteout.
func (f *FS) upperNode(p *node, q at, a *fuse.Attr) (*node, error) {
	return f.upperNodeAs(p, q.name, q, a)
}

// upperNodeAs is upperNode for an object that is found by name in directory p,
// if by any (p nil), but is reached at q.
func (f *FS) upperNodeAs(p *node, name string, q at, a *fuse.Attr) (*node, error) {
	var st unix.Stat_t
	if err := q.stat(&st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
		return nil, errWhiteout
	}
	if n := f.ids.get(upperTag | st.Ino); n != nil {
		if n.parent == nil && p != nil {
			f.settle(n, p, name)
		}
		up := n.up.Load()
		if !up.override.Load() {
			f.fillAttr(n, up, &st, nil, a)
			return n, nil
		}
		o, err := f.readOverride(q)
		if err != nil {
			f.unref(n, 1)
			return nil, err
		}
		f.fillAttr(n, up, &st, o, a)
		return n, nil
	}
	m, err := f.upper.readMarks(q)
	if err != nil {
		return nil, err
	}
	if m.whiteout && p != nil && p.dir.xwh {
		return nil, errWhiteout
	}
	var part *partial
	if m.metacopy && st.Mode&unix.S_IFMT == unix.S_IFREG {
		if part, err = f.loadPartial(p, q, &st, &m); err != nil {
			return nil, err
		}
	}
	n := &node{typ: objType(&st, m.override)}
	if n.isDir() {
		n.dir = &dirState{xwh: m.xwh}
		if !m.opaque {
			if n.lower, err = f.mergedWith(p, name, &m); err != nil {
				return nil, err
			}
		}
	}
	up := f.newUpperObj(n, &st, m)
	up.partial.Store(part)
	n.up.Store(up)
	got, err := f.adopt(n, up.key, p, name)
	if err != nil {
		return nil, err
	}
	f.fillAttr(got, got.up.Load(), &st, m.override, a)
	return got, nil
}

// mergedWith finds the directory of the lower that an upper one stands on:
// that of its redirect, or that of the same name.
func (f *FS) mergedWith(p *node, name string, m *marks) (lowerRef, error) {
	if m.redirect == "" {
		if !p.lower.ok() {
			return lowerRef{}, nil
		}
		e, err := f.lower.lookup(p.lower, name)
		if err == unix.ENOENT || err == nil && e.typ != unix.S_IFDIR {
			return lowerRef{}, nil
		}
		return e.ref, err
	}
	if !strings.HasPrefix(m.redirect, "/") {
		// A name in the same directory of the lower (redirect within a directory).
		if !p.lower.ok() || strings.Contains(m.redirect, "/") {
			return lowerRef{}, unix.EIO
		}
		base, err := f.lowerPath(p)
		if err != nil {
			return lowerRef{}, err
		}
		m.redirect = strings.TrimSuffix(base, "/") + "/" + m.redirect
	}
	e, err := f.lowerAt(m.redirect)
	if err == unix.ENOENT || err == nil && e.typ != unix.S_IFDIR {
		return lowerRef{}, unix.EIO // overlayfs says ESTALE; what it stood on is not there
	}
	return e.ref, err
}

// lowerPath is the path in the lower of what directory n is merged with.
func (f *FS) lowerPath(n *node) (string, error) {
	f.places.RLock()
	defer f.places.RUnlock()
	return f.lowerPathLocked(n)
}

// lowerPathLocked requires places.
func (f *FS) lowerPathLocked(n *node) (string, error) {
	var parts []string
	for n != f.root {
		if up := n.up.Load(); up != nil && up.redirect != "" {
			parts = append(parts, strings.TrimPrefix(up.redirect, "/"))
			break
		}
		if n.parent == nil || !n.lower.ok() {
			return "", unix.ESTALE
		}
		parts = append(parts, n.name)
		n = n.parent
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteString("/" + parts[i])
	}
	if b.Len() == 0 {
		return "/", nil
	}
	return b.String(), nil
}

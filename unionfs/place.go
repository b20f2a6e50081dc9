package unionfs

import (
	"golang.org/x/sys/unix"
)

// dirHandle returns a descriptor (O_PATH) of a directory's object in the upper
// directory. The caller puts it.
func (f *FS) dirHandle(d *node) (*handle, error) {
	if h, err := f.openDirHandle(d); h != nil || err != nil {
		return h, err
	}
	f.places.RLock()
	defer f.places.RUnlock()
	return f.dirHandleLocked(d)
}

// openDirHandle is dirHandle for a directory that is open already; nil if not.
func (f *FS) openDirHandle(d *node) (*handle, error) {
	up := d.up.Load()
	if up == nil {
		return nil, unix.ESTALE
	}
	if h := up.pin.Load(); h != nil {
		h.refs.Add(1)
		return h, nil
	}
	return f.dirs.get(d.id, d), nil
}

// dirHandleLocked requires places, at least for reading.
func (f *FS) dirHandleLocked(d *node) (*handle, error) {
	if h, err := f.openDirHandle(d); h != nil || err != nil {
		return h, err
	}
	if d.parent == nil {
		return nil, unix.ESTALE
	}
	ph, err := f.dirHandleLocked(d.parent)
	if err != nil {
		return nil, err
	}
	defer ph.put()
	fd, err := openDirPath(ph.fd, d.name)
	if err != nil {
		return nil, err
	}
	h := newHandle(fd, false)
	f.dirs.add(d.id, d, h)
	return h, nil
}

// withUpper calls fn with the place of n's object in the upper directory, which
// doesn't move meanwhile. It takes n.mu for what is not a directory.
func (f *FS) withUpper(n *node, fn func(p at) error) error {
	if n.isDir() {
		h, err := f.dirHandle(n)
		if err != nil {
			return err
		}
		defer h.put()
		return fn(at{h.fd, ""})
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return f.withPlace(n, fn)
}

// withPlace is withUpper for a node whose mu is held.
func (f *FS) withPlace(n *node, fn func(p at) error) error {
	up := n.up.Load()
	if up == nil {
		return unix.ESTALE
	}
	if h := up.pin.Load(); h != nil {
		return fn(at{h.fd, ""})
	}
	if up.entry != nil { // the name may be one that leads to the lower file
		return fn(f.index.at(up.entry))
	}
	if n.parent == nil {
		return unix.ESTALE
	}
	h, err := f.dirHandle(n.parent)
	if err != nil {
		return err
	}
	defer h.put()
	return fn(at{h.fd, n.name})
}

// fileHandle returns a descriptor for the data of an upper file. The caller puts it.
func (f *FS) fileHandle(n *node, write bool) (*handle, error) {
	if h := f.files.get(n.id, n); h != nil {
		if h.writable || !write {
			return h, nil
		}
		h.put()
	}
	if n.typ != unix.S_IFREG {
		return nil, unix.EINVAL
	}
	var h *handle
	err := f.withUpper(n, func(p at) error {
		fd, err := p.open(unix.O_RDWR)
		if err == nil {
			h = newHandle(fd, true)
			return nil
		}
		if write || !isErrno(err, unix.EACCES, unix.EPERM, unix.EROFS, unix.ETXTBSY) {
			return err
		}
		if fd, err = p.open(unix.O_RDONLY); err == nil {
			h = newHandle(fd, false)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	f.files.add(n.id, n, h)
	return h, nil
}

// settle gives n a place when it has none any more, or when the name that it
// was found under is the only one certain to exist.
func (f *FS) settle(n, parent *node, name string) {
	if n.isDir() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.parent != nil {
		return
	}
	parent.refs.Add(1)
	n.parent, n.name = parent, name
	n.unpin()
}

// unsettle takes n's place away if it is this one; the caller holds n.mu (and
// places, for a directory) and has pinned the object.
func (f *FS) unsettle(n, parent *node, name string) {
	if n.parent == parent && n.name == name {
		n.parent, n.name = nil, ""
		f.unref(parent, 1)
	}
}

// pin keeps the object at p in reach of n when its name goes. Caller holds n.mu.
func (n *node) pin(p at) error {
	up := n.up.Load()
	if up.pin.Load() != nil {
		return nil
	}
	fd, err := p.open(unix.O_PATH)
	if err != nil {
		return err
	}
	up.pin.Store(newHandle(fd, false))
	return nil
}

// unpin lets go of what pin took, for a file that is found by a name. Caller
// holds n.mu.
func (n *node) unpin() {
	up := n.up.Load()
	if up == nil || n.parent == nil || n.isDir() {
		return
	}
	if h := up.pin.Swap(nil); h != nil {
		h.put()
	}
}

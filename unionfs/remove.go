package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Unlink implements [fuse.RawFileSystem].
func (f *FS) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	f.count(opUnlink)
	return status(f.remove(h.NodeId, name, false))
}

// Rmdir implements [fuse.RawFileSystem].
func (f *FS) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	f.count(opRmdir)
	return status(f.remove(h.NodeId, name, true))
}

// remove takes a name away. What the lower has under it is hidden by a
// whiteout and never copied up for that.
func (f *FS) remove(dir uint64, name string, rmdir bool) error {
	p := f.node(dir)
	if p == nil || !p.isDir() {
		return unix.ESTALE
	}
	if f.upper == nil {
		return unix.EROFS
	}
	if err := f.copyUp(p, whole); err != nil {
		return err
	}
	if !rmdir {
		if err := f.linkUpNamed(p, name); err != nil {
			return err
		}
	}
	p.dir.mu.Lock()
	defer p.dir.mu.Unlock()
	var a fuse.Attr
	n, err := f.lookupLocked(p, name, &a)
	if err != nil {
		return err
	}
	defer f.unref(n, 1)
	if n.isDir() != rmdir {
		if rmdir {
			return unix.ENOTDIR
		}
		return unix.EISDIR
	}
	if rmdir {
		n.dir.mu.Lock()
		defer n.dir.mu.Unlock()
		empty, err := f.isEmpty(n)
		if err == nil && !empty {
			err = unix.ENOTEMPTY
		}
		if err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	inLower, err := f.inLower(p, name)
	if err != nil {
		return err
	}
	h, err := f.dirHandle(p)
	if err != nil {
		return err
	}
	defer h.put()
	q := at{h.fd, name}
	if !n.hasUpper() {
		if err := f.whiteout(p, q); err != nil {
			return err
		}
		f.lostName(n)
	} else {
		if err := n.pin(q); err != nil {
			return err
		}
		if err := f.removeUpper(p, q, n, inLower); err != nil {
			return err
		}
	}
	if inLower {
		p.dir.set(name, true, true)
	} else {
		p.dir.remove(name)
	}
	if rmdir {
		f.places.Lock()
		defer f.places.Unlock()
	}
	f.unsettle(n, p, name)
	n.unpin()
	f.dropEntry(n)
	return nil
}

// removeUpper removes the object at q; a whiteout takes its place where the
// lower has the name too.
func (f *FS) removeUpper(p *node, q at, n *node, inLower bool) error {
	if n.isDir() {
		return f.removeUpperDir(p, q, inLower)
	}
	if !inLower {
		return unix.Unlinkat(q.dirfd, q.name, 0)
	}
	t, err := f.tempWhiteout(p)
	if err != nil {
		return err
	}
	if err := renameat(t, q, 0); err != nil {
		f.upper.discard(t)
		return err
	}
	return nil
}

// removeUpperDir removes a directory that shows nothing but may hold whiteouts.
func (f *FS) removeUpperDir(p *node, q at, inLower bool) error {
	if !inLower {
		err := unix.Unlinkat(q.dirfd, q.name, unix.AT_REMOVEDIR)
		if !isErrno(err, unix.ENOTEMPTY, unix.EEXIST) {
			return err
		}
		t := f.upper.temp()
		if err := renameat(q, t, unix.RENAME_NOREPLACE); err != nil {
			return err
		}
		f.upper.discard(t)
		return nil
	}
	t, err := f.tempWhiteout(p)
	if err != nil {
		return err
	}
	err = renameat(t, q, unix.RENAME_EXCHANGE)
	f.upper.discard(t)
	return err
}

package unionfs

import (
	"context"
	"errors"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// Complete copies the data that files of the upper directory still lack, so
// that other programs may read it. With metadata it also completes those whose
// data nobody has changed, which the kernel's overlay with metacopy=on can read
// as they are. The union may be mounted and in use.
func (f *FS) Complete(ctx context.Context, metadata bool) error {
	if f.upper == nil {
		return nil
	}
	if err := f.completeDir(ctx, f.root, metadata); err != nil || f.index == nil {
		return err
	}
	for _, e := range f.index.list() {
		// It may have no name in the upper directory.
		var a fuse.Attr
		n, err := f.upperNodeAs(nil, "", f.index.at(e), &a)
		if err == unix.ENOENT {
			continue
		}
		if err == nil {
			err = f.completeFile(n, metadata)
			f.unref(n, 1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// completeFile completes n's upper file if it lacks data.
func (f *FS) completeFile(n *node, metadata bool) error {
	if p := n.partialOf(); p != nil && (metadata || p.changed()) {
		return f.completeNode(n)
	}
	return nil
}

func (f *FS) completeDir(ctx context.Context, dir *node, metadata bool) error {
	if err := f.loadShared(dir); err != nil {
		return err
	}
	var names []string
	for name, e := range dir.dir.names {
		if !e.whiteout {
			names = append(names, name)
		}
	}
	dir.dir.mu.RUnlock()
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		var a fuse.Attr
		n, err := f.lookup(dir, name, &a)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return err
		}
		if n.isDir() && n.hasUpper() {
			err = f.completeDir(ctx, n, metadata)
		} else {
			err = f.completeFile(n, metadata)
		}
		f.unref(n, 1)
		if err != nil {
			return err
		}
	}
	return nil
}

// lacking tells whether anything is missing at all.
func (p *partial) lacking() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return !p.done
}

// changed tells whether data or size are no longer the lower file's.
func (p *partial) changed() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.marked
}

// completeNode copies what n's upper file lacks and takes its marks away. Its
// times stay what they are.
func (f *FS) completeNode(n *node) error {
	p := n.partialOf()
	if p == nil {
		return nil
	}
	h, err := f.fileHandle(n, true)
	if err != nil {
		return err
	}
	defer h.put()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(h.fd, &st); err != nil {
		return err
	}
	caps, _ := at{h.fd, ""}.getxattr(capabilityXattr)
	err = f.fillAll(p, h.fd)
	if caps != nil { // writing took them away
		err = errors.Join(err, at{h.fd, ""}.setxattr(capabilityXattr, caps, 0))
	}
	if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 && !f.upper.caps {
		err = errors.Join(err, unix.Fchmod(h.fd, st.Mode&07777))
	}
	if terr := (at{h.fd, ""}).utimens(st.Atim, st.Mtim); err == nil {
		err = terr
	}
	if err == nil && !f.upper.volatile {
		err = eintr(func() error { return unix.Fsync(h.fd) })
	}
	if err != nil {
		return err
	}
	if err := f.unmark(p, h.fd); err != nil {
		return err
	}
	n.up.Load().partial.Store(nil)
	return nil
}

// unmark takes the marks of a file away that lacks nothing any more. Requires
// p.mu for writing.
func (f *FS) unmark(p *partial, fd int) error {
	if p.path != "" {
		// In this order: a file without the first is whole to everybody.
		for _, mark := range []string{markMetacopy, markRedirect, markPartial} {
			if err := unix.Fremovexattr(fd, f.upper.marks+mark); err != nil && err != unix.ENODATA {
				return err
			}
		}
	}
	p.done = true
	return nil
}

// fillAll copies every missing unit that holds data below; the holes of the
// lower file stay holes. Requires p.mu for writing.
func (f *FS) fillAll(p *partial, fd int) error {
	for off := int64(0); off < p.bound; {
		data, err := f.lower.seek(p.src, off, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return nil
		}
		if err != nil {
			return err
		}
		if data >= p.bound {
			return nil
		}
		hole, err := f.lower.seek(p.src, data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		hole = min(hole, p.bound)
		if err := f.fillUnits(p, fd, data/partialUnit, (hole-1)/partialUnit); err != nil {
			return err
		}
		off = hole
	}
	return nil
}

// Complete implements [cow.Completer].
func (d *Driver) Complete(ctx context.Context, s cow.Snapshot) error {
	opts, err := d.open(s)
	if err != nil {
		return err
	}
	u, err := New(opts)
	if err != nil {
		return err
	}
	return errors.Join(u.Complete(ctx, true), u.Close())
}

// open returns the options of a writable union on a snapshot.
func (d *Driver) open(s cow.Snapshot) (Options, error) {
	opts, err := openBase(s.Base)
	opts.Upper, opts.Work = d.dirs(s)
	return opts, err
}

var _ cow.Completer = (*Driver)(nil)

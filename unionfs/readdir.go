package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// ReadDirPlus implements [fuse.RawFileSystem]: names with all the kernel would
// otherwise ask for one by one.
func (f *FS) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	f.count(opReaddirplus)
	return status(f.list(in, func(p *node, e *listed) (bool, error) { return f.emitPlus(p, e, out) }))
}

// ReadDir implements [fuse.RawFileSystem].
func (f *FS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	f.count(opReaddir)
	return status(f.list(in, func(p *node, e *listed) (bool, error) { return f.emitPlain(p, e, out) }))
}

// listed is one name of a merged directory.
type listed struct {
	lowerEntry      // ref and typ only where it comes from the lower
	upper      bool // it is an object of the upper directory
	dir        int  // descriptor of the directory there
}

// list calls emit for the names after in.Offset until it returns false: first
// what the lower has, in the lower's order, then what only the upper has.
func (f *FS) list(in *fuse.ReadIn, emit func(p *node, e *listed) (bool, error)) error {
	p := f.node(in.NodeId)
	if p == nil || !p.isDir() {
		return unix.ESTALE
	}
	var e listed
	var names map[string]upperName
	merged := p.hasUpper()
	if merged {
		if err := f.loadShared(p); err != nil {
			return err
		}
		defer p.dir.mu.RUnlock()
		h, err := f.dirHandle(p)
		if err != nil {
			return err
		}
		defer h.put()
		e.dir, names = h.fd, p.dir.names
	}
	more, off := true, in.Offset
	if p.lower.ok() && off < upperCookies {
		var ferr error
		err := f.lower.readdir(p.lower, off, func(le *lowerEntry) bool {
			e.lowerEntry, e.upper = *le, false
			if u, ok := names[le.name]; ok {
				if u.whiteout {
					return true
				}
				e.upper = true
			}
			more, ferr = emit(p, &e)
			return more && ferr == nil
		})
		if err != nil || ferr != nil || !more {
			return cmpErr(err, ferr)
		}
	}
	if !merged {
		return nil
	}
	off = max(off, upperCookies)
	if !p.lower.ok() {
		// Nobody has said these yet; names of files start a little higher.
		for i, dot := range []string{".", ".."} {
			if c := uint64(upperCookies + 1 + i); off < c {
				e.lowerEntry, e.upper = lowerEntry{name: dot, typ: unix.S_IFDIR, off: c}, false
				if more, err := emit(p, &e); !more || err != nil {
					return err
				}
			}
		}
	}
	d := p.dir
	for _, c := range d.order[d.after(off):] {
		if d.names[c.name].cookie != c.cookie {
			continue
		}
		e.lowerEntry, e.upper = lowerEntry{name: c.name, off: c.cookie}, true
		if more, err := emit(p, &e); !more || err != nil {
			return err
		}
	}
	return nil
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// emitPlus adds e with its attributes, and takes a reference on its node for
// the kernel. It reports false when the reply is full.
func (f *FS) emitPlus(p *node, e *listed, out *fuse.DirEntryList) (bool, error) {
	de := fuse.DirEntry{Name: e.name, Mode: e.typ, Off: e.off}
	if e.name == "." || e.name == ".." {
		de.Mode, de.Ino = unix.S_IFDIR, f.dotIno(p, e.name)
		return out.AddDirLookupEntry(de) != nil, nil
	}
	if !e.upper {
		de.Ino = f.lower.ino(e.ref)
		eo := out.AddDirLookupEntry(de)
		if eo == nil {
			return false, nil
		}
		n, err := f.lowerNode(p, &e.lowerEntry)
		if err != nil {
			return true, nil // the kernel will ask for this name by itself and be told why
		}
		if err := f.attr(n, &eo.Attr); err != nil {
			f.unref(n, 1)
			*eo = fuse.EntryOut{}
			return true, nil
		}
		fillEntry(n, eo)
		return true, nil
	}
	var a fuse.Attr
	n, err := f.upperNode(p, at{e.dir, e.name}, &a)
	if err != nil {
		return true, nil // gone by itself, or damaged: a look-up will tell
	}
	de.Mode, de.Ino = a.Mode, a.Ino
	eo := out.AddDirLookupEntry(de)
	if eo == nil {
		f.unref(n, 1)
		return false, nil
	}
	eo.Attr = a
	fillEntry(n, eo)
	return true, nil
}

func (f *FS) emitPlain(p *node, e *listed, out *fuse.DirEntryList) (bool, error) {
	de := fuse.DirEntry{Name: e.name, Mode: e.typ, Off: e.off}
	switch {
	case e.name == "." || e.name == "..":
		de.Mode, de.Ino = unix.S_IFDIR, f.dotIno(p, e.name)
	case !e.upper:
		de.Ino = f.lower.ino(e.ref)
	default:
		var a fuse.Attr
		n, err := f.upperNode(p, at{e.dir, e.name}, &a)
		if err != nil {
			return true, nil
		}
		f.unref(n, 1)
		de.Mode, de.Ino = a.Mode, a.Ino
	}
	return out.AddDirEntry(de), nil
}

// dotIno is the inode number shown for "." and "..".
func (f *FS) dotIno(p *node, name string) uint64 {
	f.places.RLock()
	defer f.places.RUnlock()
	if name == ".." && p.parent != nil {
		p = p.parent
	}
	return f.inoOf(p)
}

func (f *FS) inoOf(n *node) uint64 {
	if up := n.up.Load(); up != nil {
		return up.ino
	}
	return f.lower.ino(n.lower)
}

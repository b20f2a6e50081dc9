package cow

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// An object is what the view has at a path: one of the upper, or, where dir is
// nil, the base's at from. One of the index has both: it is what the view shows of
// the base's at from.
type object struct {
	attr Attr
	from string

	dir   *upperDir
	name  string // in dir
	typ   uint32 // on disk, which may not be that of attr
	dev   uint64
	ino   uint64
	links uint64 // st_nlink
	gone  bool   // it is a whiteout
	same  bool   // nothing of it was changed

	stored map[string]string // its xattrs as they are on disk; nil: not read yet
	fd     int               // a regular file, opened for reading; -1: not open
}

// object looks at a name of the upper directory d.
func (w *changeWalk) object(d *upperDir, name string) (*object, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return nil, err
	}
	o := &object{attr: attrOf(&st), dir: d, name: name, typ: st.Mode & unix.S_IFMT, dev: st.Dev, ino: st.Ino, links: uint64(st.Nlink), fd: -1}
	mark, err := w.u.Dialect.Read(whiteout.Object{
		Name: name, Mode: st.Mode, Rdev: st.Rdev, Size: st.Size, Xattr: xattrReader(o.path(), false), InXDir: d.xdir,
	})
	if err != nil {
		return nil, err
	}
	o.gone = mark.Kind == whiteout.Remove || mark.Kind == whiteout.Meta
	o.same = w.u.Same != nil && w.u.Same(&st)
	if w.u.Attr != nil && !o.gone {
		if err := o.load(); err != nil {
			return nil, err
		}
		if err := w.u.Attr(&o.attr, func(name string) (string, bool) { v, ok := o.stored[name]; return v, ok }); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *object) path() string { return fdPath(o.dir.fd) + "/" + o.name }

func (o *object) close() {
	if o.fd >= 0 {
		unix.Close(o.fd)
		o.fd = -1
	}
}

// open makes fd a descriptor of the regular file.
func (o *object) open() error {
	if o.fd >= 0 {
		return nil
	}
	return retry(func() (err error) {
		o.fd, err = unix.Openat(o.dir.fd, o.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
}

// take hands the descriptor out to a new owner.
func (o *object) take() (int, error) {
	if err := o.open(); err != nil {
		return -1, err
	}
	fd := o.fd
	o.fd = -1
	return fd, nil
}

// load reads the xattrs.
func (o *object) load() (err error) {
	if o.stored != nil {
		return nil
	}
	if o.fd >= 0 {
		o.stored, err = listXattrs(fdXattrs(o.fd))
	} else {
		o.stored, err = listXattrs(pathXattrs(o.path(), false))
	}
	if o.stored == nil {
		o.stored = map[string]string{}
	}
	return err
}

// xattrs are those of o that a union shows.
func (w *changeWalk) xattrs(o *object) (map[string]string, error) {
	if o.dir == nil {
		return w.u.Base.Xattrs(o.from)
	}
	if err := o.load(); err != nil {
		return nil, fmt.Errorf("listing extended attributes: %w", err)
	}
	return w.u.shown(o.stored), nil
}

// shown turns the names xattrs are stored under in the upper into those its
// user sees, and drops the union's own.
func (u *Upper) shown(m map[string]string) map[string]string {
	ns := u.Dialect.Namespace()
	out := make(map[string]string, len(m))
	for stored, v := range m {
		k := stored
		if u.XattrName != nil {
			k = u.XattrName(stored)
			if _, both := m[k]; both && k != stored {
				continue // the one under its own name counts
			}
		}
		if ns == "" {
			if !whiteout.Bookkeeping(k) {
				out[k] = v
			}
		} else if name, ok := ns.Shown(k); ok && (ns == whiteout.TrustedXattr || !whiteout.Bookkeeping(k)) {
			out[name] = v
		}
	}
	return out
}

// target is where the symlink o points to.
func (w *changeWalk) target(o *object) (string, error) {
	switch {
	case o.dir == nil:
		return w.u.Base.Readlink(o.from)
	case o.typ == unix.S_IFLNK:
		return readlink(o.dir.fd, o.name)
	}
	// Kept as a file, by a union that may not make symlinks of others.
	if err := o.open(); err != nil {
		return "", err
	}
	if o.attr.Size <= 0 || o.attr.Size >= unix.PathMax {
		return "", fmt.Errorf("a symlink with a target of %d bytes", o.attr.Size)
	}
	b := make([]byte, o.attr.Size)
	if err := readFull(&fileData{fd: o.fd, size: o.attr.Size}, b, 0); err != nil {
		return "", err
	}
	return string(b), nil
}

// content opens the regular file o.
func (w *changeWalk) content(o *object) (Data, error) {
	if o.dir == nil {
		return w.u.Base.Open(o.from)
	}
	if err := o.open(); err != nil {
		return nil, err
	}
	if err := o.load(); err != nil {
		return nil, err
	}
	part, err := w.lacks(o)
	if err != nil {
		return nil, err
	}
	fd, err := o.take()
	if err != nil {
		return nil, err
	}
	own := &fileData{fd: fd, size: o.attr.Size}
	if part == nil {
		return own, nil
	}
	if err := part.begin(own); err != nil {
		return nil, err
	}
	return part, nil
}

// lacks tells what a file that was copied up without its data has below; nil if
// nothing is missing.
func (w *changeWalk) lacks(o *object) (*partialData, error) {
	ns := w.u.Dialect.Namespace()
	if ns == "" {
		return nil, nil
	}
	if _, ok := o.stored[ns.Name(whiteout.KeyMetacopy)]; !ok {
		return nil, nil
	}
	redirect := strings.TrimPrefix(o.stored[ns.Name(whiteout.KeyRedirect)], whiteout.Poison)
	p := &partialData{bound: o.attr.Size}
	if bound, ok := o.stored[ns.Name(whiteout.KeyPartial)]; ok {
		if err := p.setBound(bound); err != nil {
			return nil, err
		}
	}
	if p.bound == 0 {
		return nil, nil
	}
	from := o.from
	if redirect != "" || from == "" {
		var err error
		if from, err = redirected(redirect, o.dir.merge, o.name); err != nil {
			return nil, err
		}
	}
	if from == "" || from == "/" {
		return nil, fmt.Errorf("its data should be in the layers, of whose directories none is merged with its own")
	}
	a, ok, err := w.u.Base.Lookup(from)
	if err != nil {
		return nil, err
	}
	if !ok || !a.is(unix.S_IFREG) || a.Size < p.bound {
		return nil, fmt.Errorf("its data should be in the layers at %q, of at least %d bytes, and isn't", from, p.bound)
	}
	p.from = from
	p.open = func() (Data, error) { return w.u.Base.Open(from) }
	return p, nil
}

package cow

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// changeWalk compares two trees: the view (upper merged with base) and the base
// alone.
type changeWalk struct {
	u     Upper
	yield func(Change, error) bool
	// pending are the directories between the root and where the walk is that
	// have not been listed, outermost first; a change below lists them all.
	pending []string
}

// upperDir is one opened directory of the upper.
type upperDir struct {
	fd       int
	opaque   bool            // hides the base's directory
	redirect string          // where its base is; empty for the same place
	xdir     bool            // empty files in it can be whiteouts
	names    []string        // what it holds, without whiteouts that are names
	gone     map[string]bool // removed by such a name
}

// upperObject is one object of an upper directory.
type upperObject struct {
	attr  Attr
	gone  bool // it is a whiteout
	xattr func(string) (string, bool)
}

func (w *changeWalk) emit(c Change) error {
	for _, p := range w.pending {
		if !w.yield(Change{Path: p, Kind: Changed}, nil) {
			return errStop
		}
	}
	w.pending = w.pending[:0]
	if !w.yield(c, nil) {
		return errStop
	}
	return nil
}

// open reads what the upper directory fd says about its base.
func (w *changeWalk) open(fd int) (upperDir, error) {
	d := upperDir{fd: fd}
	xattr := xattrReader(fdPath(fd), true)
	mark, err := w.u.Dialect.Read(whiteout.Object{Name: ".", Mode: unix.S_IFDIR, Xattr: xattr})
	if err != nil {
		return d, err
	}
	d.opaque = mark.Kind == whiteout.Opaque
	d.xdir = w.u.Dialect.XWhiteoutDir(xattr)
	if ns := w.u.Dialect.Namespace(); ns != "" {
		d.redirect, _ = xattr(ns.Name(whiteout.KeyRedirect))
	}
	if d.names, err = readNames(fd); err != nil {
		return d, err
	}
	if w.u.Dialect.HasNames() {
		var opaque bool
		d.names, d.gone, opaque = splitNames(d.names)
		d.opaque = d.opaque || opaque
	}
	return d, nil
}

// dir compares what the view has in the directory at p with what the base has
// there. d is the view's upper directory and may be nil; merge is the path of
// the base's directory that shines through, or empty; was tells that the base
// has a directory at p itself.
func (w *changeWalk) dir(p string, d *upperDir, merge string, was bool) error {
	if d == nil && merge == p {
		return nil
	}
	names := map[string]bool{}
	inUpper := map[string]bool{}
	if d != nil {
		for n := range d.gone {
			names[n] = true
		}
		for _, n := range d.names {
			names[n], inUpper[n] = true, true
		}
	}
	if was && merge != p {
		list, err := w.u.Base.ReadDir(p)
		if err != nil {
			return err
		}
		for _, n := range list {
			names[n] = true
		}
	}
	if merge != "" && merge != p {
		list, err := w.u.Base.ReadDir(merge)
		if err != nil {
			return err
		}
		for _, n := range list {
			names[n] = true
		}
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if err := w.name(p, n, d, inUpper[n], merge, was); err != nil {
			return err
		}
	}
	return nil
}

// name compares one name of the directory at parent.
func (w *changeWalk) name(parent, name string, d *upperDir, inUpper bool, merge string, parentWas bool) error {
	p := path.Join(parent, name)
	var old Attr
	var was bool
	var err error
	if parentWas {
		if old, was, err = w.u.Base.Lookup(p); err != nil {
			return err
		}
	}
	if inUpper {
		o, err := w.object(d, name)
		if errors.Is(err, unix.ENOENT) {
			return nil // it vanished since the directory was read
		}
		if err != nil {
			return fmt.Errorf("looking at %s in the upper: %w", p, err)
		}
		if !o.gone {
			return w.upperObject(p, name, d, o, old, was, merge)
		}
	} else if merge != "" && (d == nil || !d.gone[name]) {
		from := path.Join(merge, name)
		now, is, err := w.u.Base.Lookup(from)
		if err != nil {
			return err
		}
		if is {
			return w.compare(p, now, old, was, func() (map[string]string, error) { return w.u.Base.Xattrs(from) },
				func() error { return w.dir(p, nil, from, was && old.IsDir()) })
		}
	}
	if was {
		return w.emit(Change{Path: p, Kind: Deleted})
	}
	return nil
}

// splitNames takes the AUFS names out of a directory's list.
func splitNames(list []string) (names []string, gone map[string]bool, opaque bool) {
	for _, n := range list {
		switch kind, target, err := whiteout.Parse(n); {
		case err == nil && kind == whiteout.Ordinary:
			names = append(names, n)
		case kind == whiteout.Remove:
			if gone == nil {
				gone = map[string]bool{}
			}
			gone[target] = true
		case kind == whiteout.Opaque:
			opaque = true
		}
	}
	return names, gone, opaque
}

func (w *changeWalk) object(d *upperDir, name string) (upperObject, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return upperObject{}, err
	}
	o := upperObject{attr: attrOf(&st), xattr: xattrReader(fdPath(d.fd)+"/"+name, false)}
	ask := whiteout.Object{Name: name, Mode: st.Mode, Rdev: st.Rdev, Size: st.Size, Xattr: o.xattr, InXDir: d.xdir}
	mark, err := w.u.Dialect.Read(ask)
	if err != nil {
		return upperObject{}, err
	}
	o.gone = mark.Kind == whiteout.Remove || mark.Kind == whiteout.Meta
	if w.u.Attr != nil {
		w.u.Attr(&o.attr, o.xattr)
	}
	return o, nil
}

// upperObject compares the upper's object at p, called name in its directory d,
// with what was there.
func (w *changeWalk) upperObject(p, name string, d *upperDir, o upperObject, old Attr, was bool, merge string) error {
	xattrs := func() (map[string]string, error) {
		m, err := listXattrs(fdPath(d.fd)+"/"+name, false)
		return w.shown(m), err
	}
	return w.compare(p, o.attr, old, was, xattrs, func() error {
		fd, err := openDir(d.fd, name)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return nil // replaced since it was looked at
		}
		if err != nil {
			return fmt.Errorf("opening directory %s of the upper: %w", p, err)
		}
		defer unix.Close(fd)
		sub, err := w.open(fd)
		if err != nil {
			return fmt.Errorf("reading directory %s of the upper: %w", p, err)
		}
		from, err := w.mergeOf(&sub, merge, name)
		if err != nil {
			return fmt.Errorf("directory %s of the upper: %w", p, err)
		}
		return w.dir(p, &sub, from, was && old.IsDir())
	})
}

// mergeOf is the path in the base that directory sub, called name in a
// directory merged with the base's at parent, is merged with (overlayfs.rst,
// "Renaming directories": an absolute redirect counts from the overlay's
// root, one without slashes replaces the name).
func (w *changeWalk) mergeOf(sub *upperDir, parent, name string) (string, error) {
	if sub.opaque {
		return "", nil
	}
	var from string
	switch r := sub.redirect; {
	case r == "" && parent == "", r != "" && r[0] != '/' && parent == "":
		return "", nil
	case r == "":
		from = path.Join(parent, name)
	case r[0] == '/':
		from = path.Clean(r)
		if from != r {
			return "", fmt.Errorf("redirect %q is not a clean path", r)
		}
	case strings.Contains(r, "/") || r == "." || r == "..":
		return "", fmt.Errorf("redirect %q is neither a path nor a name", r)
	default:
		from = path.Join(parent, r)
	}
	a, ok, err := w.u.Base.Lookup(from)
	if err != nil || !ok || !a.IsDir() {
		return "", err
	}
	return from, nil
}

// compare lists p, of which the view has now and the base had old, and calls
// inside for directories.
func (w *changeWalk) compare(p string, now, old Attr, was bool, xattrs func() (map[string]string, error), inside func() error) error {
	switch {
	case !was:
		if err := w.emit(Change{Path: p, Kind: Added}); err != nil {
			return err
		}
	case differ(now, old):
		if err := w.emit(Change{Path: p, Kind: Changed}); err != nil {
			return err
		}
	default:
		nx, err := xattrs()
		if err != nil {
			return fmt.Errorf("listing extended attributes of %s: %w", p, err)
		}
		ox, err := w.u.Base.Xattrs(p)
		if err != nil {
			return err
		}
		if !maps.Equal(compared(nx), compared(ox)) {
			if err := w.emit(Change{Path: p, Kind: Changed}); err != nil {
				return err
			}
		} else if now.IsDir() {
			w.pending = append(w.pending, p)
			err := inside()
			// Either emit has emptied pending, or p is its last element still.
			if n := len(w.pending); n > 0 {
				w.pending = w.pending[:n-1]
			}
			return err
		}
	}
	if now.IsDir() {
		return inside()
	}
	return nil
}

// differ tells whether two objects differ, as `docker diff` sees it: sizes and
// times of directories tell nothing.
func differ(a, b Attr) bool {
	if a.Mode != b.Mode || a.UID != b.UID || a.GID != b.GID || a.Rdev != b.Rdev {
		return true
	}
	return !a.IsDir() && (a.Size != b.Size || a.Mtime != b.Mtime || a.MtimeNsec != b.MtimeNsec)
}

// shown turns the names xattrs are stored under in the upper into those its
// user sees, and drops the union's own.
func (w *changeWalk) shown(m map[string]string) map[string]string {
	ns := w.u.Dialect.Namespace()
	out := make(map[string]string, len(m))
	for k, v := range m {
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

// compared leaves those xattrs that belong to the file and can be read by
// whoever may read the file: labels are the host's, and trusted.* is hidden
// from all but the host's root.
func compared(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		if k == "security.capability" || strings.HasPrefix(k, "user.") || strings.HasPrefix(k, "system.posix_acl_") {
			out[k] = v
		}
	}
	return out
}

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
	u    Upper
	emit func(step) error
	// pending are the directories between the root and where the walk is that
	// have not been listed, outermost first; a change below lists them all.
	pending []step
	// linked, when not nil, tells of an object of the upper with several names,
	// which equals the base's, whether it is listed all the same.
	linked  func(*object) (bool, error)
	root    bool         // it may be listed
	aliases *linkAliases // nil: there are none
}

// A step is one change that the walk found.
type step struct {
	Change
	now    *object // nil if it is Deleted; good for as long as emit runs
	before Attr
}

// upperDir is one opened directory of the upper.
type upperDir struct {
	fd       int
	opaque   bool            // hides the base's directory
	redirect string          // where its base is; empty for the same place
	xdir     bool            // empty files in it can be whiteouts
	names    []string        // what it holds, without whiteouts that are names
	gone     map[string]bool // removed by such a name
	merge    string          // path of the base's directory that shines through; empty for none
}

// run walks from the root.
func (w *changeWalk) run() error {
	fd, err := openDir(unix.AT_FDCWD, w.u.Dir)
	if err != nil {
		return fmt.Errorf("opening upper directory %s: %w", w.u.Dir, err)
	}
	defer unix.Close(fd)
	if err := w.openAliases(); err != nil {
		return err
	}
	defer w.aliases.close()
	d, err := w.open(fd)
	if err != nil {
		return err
	}
	d.merge = "/"
	if w.u.Dialect == whiteout.Plain || d.opaque && w.u.Dialect.HasNames() {
		d.merge = "" // the kernel merges roots whatever they say
	}
	if w.root {
		if err := w.rootItself(&d); err != nil {
			return err
		}
	}
	return w.dir("/", &d, d.merge, true)
}

// rootItself emits the root, if its attributes differ from the base's.
func (w *changeWalk) rootItself(d *upperDir) error {
	o, err := w.object(d, ".")
	if err != nil {
		return err
	}
	before, was, err := w.u.Base.Lookup("/")
	if err != nil || !was {
		return err
	}
	if differ, err := w.differs("/", o, before); err != nil || !differ {
		return err
	}
	return w.emit(step{Change: Change{Path: "/", Kind: Changed}, now: o, before: before})
}

// list emits s, after the directories that lead to it.
func (w *changeWalk) list(s step) error {
	for _, p := range w.pending {
		if err := w.emit(p); err != nil {
			return err
		}
	}
	w.pending = w.pending[:0]
	return w.emit(s)
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
	aliases := w.aliases.under(merge)
	if d == nil && merge == p && len(aliases) == 0 {
		return nil
	}
	names := map[string]bool{}
	for _, n := range aliases {
		names[n] = true
	}
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
		defer o.close()
		if o.same && was && !differ(o.attr, old) {
			return nil
		}
		if !o.gone {
			return w.compare(p, o, old, was, func() error { return w.enter(p, o, was && old.IsDir()) })
		}
	} else if merge != "" && (d == nil || !d.gone[name]) {
		from := path.Join(merge, name)
		o, err := w.alias(from)
		if err != nil {
			return fmt.Errorf("looking at %s in the index: %w", p, err)
		}
		if o != nil {
			defer o.close()
			return w.compare(p, o, old, was, nil)
		}
		now, is, err := w.u.Base.Lookup(from)
		if err != nil {
			return err
		}
		if is {
			o := &object{attr: now, from: from, fd: -1}
			return w.compare(p, o, old, was, func() error { return w.dir(p, nil, from, was && old.IsDir()) })
		}
	}
	if was {
		return w.list(step{Change: Change{Path: p, Kind: Deleted}, before: old})
	}
	return nil
}

// enter walks the upper's directory o at p.
func (w *changeWalk) enter(p string, o *object, was bool) error {
	fd, err := openDir(o.dir.fd, o.name)
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
	if sub.merge, err = w.mergeOf(&sub, o.dir.merge, o.name); err != nil {
		return fmt.Errorf("directory %s of the upper: %w", p, err)
	}
	return w.dir(p, &sub, sub.merge, was)
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

// mergeOf is the path in the base that directory sub, called name in a
// directory merged with the base's at parent, is merged with.
func (w *changeWalk) mergeOf(sub *upperDir, parent, name string) (string, error) {
	if sub.opaque {
		return "", nil
	}
	from, err := redirected(sub.redirect, parent, name)
	if err != nil || from == "" {
		return "", err
	}
	a, ok, err := w.u.Base.Lookup(from)
	if err != nil || !ok || !a.IsDir() {
		return "", err
	}
	return from, nil
}

// redirected is the path in the base that an object of the upper stands on, which
// is called name in a directory merged with the base's at parent; empty for
// none (overlayfs.rst, "Renaming directories": an absolute redirect counts from
// the overlay's root, one without slashes replaces the name).
func redirected(redirect, parent, name string) (string, error) {
	switch r := redirect; {
	case r == "" && parent == "", r != "" && r[0] != '/' && parent == "":
		return "", nil
	case r == "":
		return path.Join(parent, name), nil
	case r[0] == '/':
		if path.Clean(r) != r {
			return "", fmt.Errorf("redirect %q is not a clean path", r)
		}
		return r, nil
	case strings.Contains(r, "/") || r == "." || r == "..":
		return "", fmt.Errorf("redirect %q is neither a path nor a name", r)
	default:
		return path.Join(parent, r), nil
	}
}

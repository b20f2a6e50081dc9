package unionfs

import (
	"fmt"
	"strconv"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// groupsDir, in the work directory, holds the copies of lower hard-link groups
// whose names are not all in the upper directory yet, named by the lower's
// inode number. It is empty unless a server was killed at that moment.
const groupsDir = "cfs-links"

// beginGroup keeps the copy at t in reach until endGroup.
func (u *upperDir) beginGroup(t at, ino uint64) error {
	if err := unix.Mkdirat(u.workdir, groupsDir, 0o700); err != nil && err != unix.EEXIST {
		return err
	}
	d, err := openDirPath(u.workdir, groupsDir)
	if err != nil {
		return err
	}
	defer unix.Close(d)
	name := strconv.FormatUint(ino, 10)
	if err := unix.Unlinkat(d, name, 0); err != nil && err != unix.ENOENT {
		return err
	}
	return unix.Linkat(t.dirfd, t.name, d, name, 0)
}

func (u *upperDir) endGroup(ino uint64) {
	if d, err := openDirPath(u.workdir, groupsDir); err == nil {
		_ = unix.Unlinkat(d, strconv.FormatUint(ino, 10), 0)
		unix.Close(d)
	}
}

// completeGroups finishes, at mount, what a killed server began: every name of
// the group that still leads to the file below is linked to the copy.
func (f *FS) completeGroups() error {
	d, err := openDirPath(f.upper.workdir, groupsDir)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(d)
	list, err := readNames(d)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := f.completeGroup(at{d, e.name}); err != nil {
			return fmt.Errorf("completing the links of inode %s: %w", e.name, err)
		}
		if err := unix.Unlinkat(d, e.name, 0); err != nil {
			return err
		}
	}
	return nil
}

func (f *FS) completeGroup(c at) error {
	ino, err := strconv.ParseUint(c.name, 10, 64)
	if err != nil {
		return nil // not ours
	}
	var st unix.Stat_t
	if err := c.stat(&st); err != nil {
		return err
	}
	m, err := f.upper.readMarks(c)
	if err != nil {
		return err
	}
	if st.Nlink < 2 || m.origin != ino {
		return nil // killed before the first name, or a copy over another lower
	}
	var a fuse.Attr
	return f.walkLower(f.root, func(p *node, e *lowerEntry) error {
		if f.lower.ino(e.ref) != ino {
			return nil
		}
		n, err := f.lookup(p, e.name, &a)
		if err != nil {
			return err
		}
		defer f.unref(n, 1)
		if n.hasUpper() {
			return nil
		}
		if err := f.copyUp(p, whole); err != nil {
			return err
		}
		h, err := f.dirHandle(p)
		if err != nil {
			return err
		}
		defer h.put()
		if err := unix.Linkat(c.dirfd, c.name, h.fd, e.name, 0); err != nil {
			return err
		}
		p.dir.mu.Lock()
		p.dir.set(e.name, true, false)
		p.dir.mu.Unlock()
		return nil
	})
}

// A groupName is a name of an object that is to be copied up, with a reference
// on its directory.
type groupName struct {
	dir  *node
	name string
}

func (f *FS) putNames(names []groupName) {
	for _, g := range names {
		f.unref(g.dir, 1)
	}
}

// prepareNames finds the names under which n has to appear in the upper
// directory and copies their directories up. A file has one, or none when it
// was unlinked; of a hard-link group all names move, so that they stay one
// file also for a program that looks at the upper directory later, unless the
// index keeps them together.
func (f *FS) prepareNames(n *node) ([]groupName, error) {
	if n.isDir() {
		f.places.RLock()
	} else {
		n.mu.Lock()
	}
	p, name := n.parent, n.name
	if p != nil {
		p.refs.Add(1)
	}
	if n.isDir() {
		f.places.RUnlock()
	} else {
		n.mu.Unlock()
	}
	var names []groupName
	if p != nil {
		names = append(names, groupName{p, name})
	}
	if !n.isDir() && f.index == nil {
		var a fuse.Attr
		err := f.lower.attr(n.lower, &a)
		if err == nil && a.Nlink > 1 && int64(a.Nlink)-int64(f.goneFrom(a.Ino)) > int64(len(names)) {
			names, err = f.groupNames(n, names)
		}
		if err != nil {
			f.putNames(names)
			return nil, err
		}
	}
	for _, g := range names {
		if err := f.copyUp(g.dir, whole); err != nil {
			f.putNames(names)
			return nil, err
		}
	}
	return names, nil
}

// groupNames adds the other names of a lower file to have: those that lead to
// it in the union as it is now.
func (f *FS) groupNames(n *node, have []groupName) ([]groupName, error) {
	want := f.lower.ino(n.lower)
	var a fuse.Attr
	err := f.walkLower(f.root, func(p *node, e *lowerEntry) error {
		if f.lower.ino(e.ref) != want || len(have) > 0 && have[0].dir == p && have[0].name == e.name {
			return nil
		}
		got, err := f.lookup(p, e.name, &a)
		if err != nil {
			return err
		}
		if got == n {
			p.refs.Add(1)
			have = append(have, groupName{p, e.name})
		}
		f.unref(got, 1)
		return nil
	})
	return have, err
}

// walkLower calls fn for every file of the lower that shows in the union under
// directory p, p's node included. Only the directories get nodes.
func (f *FS) walkLower(p *node, fn func(p *node, e *lowerEntry) error) error {
	var files, dirs []lowerEntry
	if p.lower.ok() {
		err := f.lower.readdir(p.lower, 0, func(e *lowerEntry) bool {
			switch {
			case e.typ != unix.S_IFDIR:
				files = append(files, *e)
			case e.ref.ok():
				dirs = append(dirs, *e)
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	// What the upper directory has of its own may be merged with a directory
	// that was renamed.
	if p.hasUpper() {
		if err := f.loadShared(p); err != nil {
			return err
		}
		have := make(map[string]bool, len(dirs))
		for _, d := range dirs {
			have[d.name] = true
		}
		for name, u := range p.dir.names {
			if !u.whiteout && !have[name] {
				dirs = append(dirs, lowerEntry{name: name})
			}
		}
		files = keep(files, func(e lowerEntry) bool { _, hidden := p.dir.names[e.name]; return !hidden })
		p.dir.mu.RUnlock()
	}
	for i := range files {
		if err := fn(p, &files[i]); err != nil && err != unix.ENOENT {
			return err
		}
	}
	var a fuse.Attr
	for _, e := range dirs {
		n, err := f.lookup(p, e.name, &a)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return err
		}
		if n.isDir() && (n.lower.ok() || n.hasUpper()) {
			err = f.walkLower(n, fn)
		}
		f.unref(n, 1)
		if err != nil {
			return err
		}
	}
	return nil
}

func keep[T any](s []T, ok func(T) bool) []T {
	out := s[:0]
	for _, e := range s {
		if ok(e) {
			out = append(out, e)
		}
	}
	return out
}

package unionfs

import (
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// setupIndex reads the index, at mount. With index=on it is used from then on;
// else the upper directory is to stand alone: every name of a group that is kept
// together by the index alone is linked to the copy, and the index is emptied.
func (f *FS) setupIndex() error {
	x, err := f.openIndex(f.opts.LinkIndex)
	if x == nil || err != nil {
		return err
	}
	f.index = x
	if f.opts.LinkIndex {
		if err := f.adoptIndex(); err != nil {
			return fmt.Errorf("index: %w", err)
		}
		return nil
	}
	err = f.settleIndex()
	f.index = nil
	unix.Close(x.dir)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return nil
}

// settleIndex makes the groups in the index ones of the upper directory. Killed
// at any line it goes on at the next mount: an entry goes when all its names are
// there. Of names that lead to other layers than those the index was made for
// nothing is known, and nothing is changed.
func (f *FS) settleIndex() error {
	if len(f.index.inodes) == 0 || !f.ownIndex() {
		return nil
	}
	if err := f.adoptIndex(); err != nil {
		return err
	}
	err := f.walkLower(f.root, func(p *node, e *lowerEntry) error {
		n, err := f.indexNode(p, e)
		if n == nil || err != nil {
			return err
		}
		defer f.unref(n, 1)
		if err := f.copyUp(p, whole); err != nil {
			return err
		}
		return f.linkName(n, groupName{p, e.name})
	})
	if err != nil {
		return err
	}
	for _, e := range f.index.list() {
		// The kernel counts by the mark for as long as there is one.
		err := f.index.at(e).removexattr(f.upper.marks + markNlink)
		if err != nil && !isErrno(err, unix.ENODATA) {
			return err
		}
		if err := f.index.remove(e); err != nil {
			return err
		}
	}
	return nil
}

// ownIndex tells whether the index is about this lower, as far as can be known:
// the kernel notes in the upper directory what it lies on.
func (f *FS) ownIndex() bool {
	root, err := f.index.lower.rootHandle()
	if err != nil {
		return false
	}
	v, err := at{f.upper.root, ""}.getxattr(f.upper.marks + markKernelOrigin)
	if isErrno(err, unix.ENODATA) {
		return true
	}
	return err == nil && len(v) == len(root) && kernelHandle(v).inode() == root.inode()
}

// adoptIndex gives entries that the kernel wrote what this package wants to find
// on an object, and mends the count of one that was being linked when the server,
// or the machine, died. What no name shows any more is removed.
func (f *FS) adoptIndex() error {
	want := make(map[*indexEntry]marks)
	for _, e := range f.index.list() {
		m, err := f.upper.readMarks(f.index.at(e))
		if err != nil {
			return err
		}
		of, _, ok := parseNlink(m.nlink)
		if m.origin == 0 || !ok || of != 'U' || m.metacopy && m.redirect == "" {
			want[e] = m
		}
	}
	if len(want) > 0 {
		if err := f.walkFiles(f.lower.root(), "/", func(where string, r lowerRef) error {
			return f.adoptEntry(where, r, want)
		}); err != nil {
			return err
		}
	}
	for _, e := range f.index.list() {
		var st unix.Stat_t
		if err := f.index.at(e).stat(&st); err != nil {
			return err
		}
		m, err := f.upper.readMarks(f.index.at(e))
		if err != nil {
			return err
		}
		if st.Nlink == 1 && hiddenNames(&st, &m) < 0 {
			if err := f.index.remove(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// adoptEntry gives the entry of lower file r, at path where, what it lacks.
func (f *FS) adoptEntry(where string, r lowerRef, want map[*indexEntry]marks) error {
	h, links, err := f.index.lower.handle(r)
	if h == nil || err != nil {
		return err
	}
	e := f.index.find(h)
	m, ok := want[e]
	if !ok {
		return nil
	}
	delete(want, e)
	p := f.index.at(e)
	if m.origin == 0 {
		// A symlink or a device may have to do without, see copyToWork.
		_ = p.setxattr(f.upper.marks+markOrigin, f.upper.origin(f.lower.ino(r)), 0)
	}
	if m.metacopy && m.redirect == "" {
		if err := p.setxattr(f.upper.marks+markRedirect, []byte(where), 0); err != nil {
			return err
		}
	}
	of, more, ok := parseNlink(m.nlink)
	if ok && of == 'U' {
		return nil
	}
	var st unix.Stat_t
	if err := p.stat(&st); err != nil {
		return err
	}
	if !ok {
		more = 0
	}
	return p.setxattr(f.upper.marks+markNlink, nlinkMark('U', int64(links)+more-int64(st.Nlink)), 0)
}

// walkFiles calls fn for every file of the lower below dir that is no directory,
// whatever the upper directory hides.
func (f *FS) walkFiles(dir lowerRef, where string, fn func(where string, r lowerRef) error) error {
	var all []lowerEntry
	err := f.lower.readdir(dir, 0, func(e *lowerEntry) bool {
		if e.ref.ok() {
			all = append(all, *e)
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, e := range all {
		at := path.Join(where, e.name)
		if e.typ == unix.S_IFDIR {
			err = f.walkFiles(e.ref, at, fn)
		} else {
			err = fn(at, e.ref)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

package cow

import (
	"errors"
	"fmt"
	"iter"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// Diff lists what u changes on its base with all that a layer says of it: what
// [Upper.Changes] lists, in the same order, and contents. Where a file got another name, the
// names that it had are listed as Changed too, though nothing else of it is: a
// layer that has but one of them would part them. The root is Changed, and first, if
// its own attributes are.
//
// Whatever the upper leaves below is there: what a renamed directory holds, and
// the data of files that were copied up without it. Only what a change needs is
// read of the base; it is never walked.
func (u Upper) Diff() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		d := entries{inodes: map[inodeKey]uint64{}}
		d.w = changeWalk{u: u, linked: d.linked, root: true}
		d.w.emit = func(s step) error {
			e, err := d.entry(s)
			if errors.Is(err, unix.ENOENT) && s.now != nil && s.now.dir != nil {
				return nil // it vanished since it was looked at
			}
			if err != nil {
				return fmt.Errorf("%s: %w", s.Path, err)
			}
			if !yield(e, nil) {
				return errStop
			}
			return nil
		}
		if err := d.w.run(); err != nil && !errors.Is(err, errStop) {
			yield(Entry{}, fmt.Errorf("reading changes: %w", err))
		}
	}
}

// Compare lists how the tree in the directory after differs from before, which
// may be a tree too: see [OpenTree]. The rules are those of [Upper.Diff].
func Compare(before Base, after string) iter.Seq2[Entry, error] {
	return Upper{Dir: after, Dialect: whiteout.Plain, Base: before}.Diff()
}

// OpenTree is the tree in a directory as a base.
func OpenTree(dir string) (*DirBase, error) { return OpenDirBase([]string{dir}, whiteout.Plain) }

// entries makes entries of steps.
type entries struct {
	w      changeWalk
	inodes map[inodeKey]uint64 // a number for each file with several names, in the order of their first
	again  map[inodeKey]bool   // files with several names of which one is listed; nil: not known yet
}

// inodeKey names an inode; of the base dev is 0, as no disk's is.
type inodeKey struct{ dev, ino uint64 }

func (d *entries) number(k inodeKey) uint64 {
	n, ok := d.inodes[k]
	if !ok {
		n = uint64(len(d.inodes) + 1)
		d.inodes[k] = n
	}
	return n
}

// linked tells whether another name of o is listed.
func (d *entries) linked(o *object) (bool, error) {
	if d.again == nil {
		again := map[inodeKey]bool{}
		w := changeWalk{u: d.w.u, emit: func(s step) error {
			if o := s.now; o != nil && o.dir != nil && o.links > 1 && !o.attr.IsDir() {
				again[inodeKey{o.dev, o.ino}] = true
			}
			return nil
		}}
		if err := w.run(); err != nil {
			return false, err
		}
		d.again = again
	}
	return d.again[inodeKey{o.dev, o.ino}], nil
}

func (d *entries) entry(s step) (Entry, error) {
	e := Entry{Change: s.Change, Before: s.before}
	o := s.now
	if o == nil {
		return e, nil
	}
	e.Attr = o.attr
	if o.dir != nil && o.typ == unix.S_IFREG {
		if err := o.open(); err != nil {
			return e, err
		}
	}
	xattrs, err := d.w.xattrs(o)
	if err != nil {
		return e, err
	}
	for k, v := range xattrs {
		if !Carried(k) {
			continue
		}
		if e.Xattrs == nil {
			e.Xattrs = make(map[string]string, len(xattrs))
		}
		e.Xattrs[k] = v
	}
	switch e.Attr.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return e, nil
	case unix.S_IFLNK:
		if e.Target, err = d.w.target(o); err != nil {
			return e, err
		}
	case unix.S_IFREG:
		e.Open = func() (Data, error) { return d.w.content(o) }
	}
	switch {
	case o.dir == nil:
		ino, err := d.w.u.Base.Inode(o.from)
		if err != nil {
			return e, err
		}
		if ino != 0 {
			e.Inode = d.number(inodeKey{0, ino})
		}
	case o.links > 1:
		e.Inode = d.number(inodeKey{o.dev, o.ino})
	}
	return e, nil
}

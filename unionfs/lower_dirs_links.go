package unionfs

import (
	"sync"

	"golang.org/x/sys/unix"
)

// linkCounts are the link counts of hard-linked files as the union shows them:
// the filesystem also counts names that layers above hide. They are found by
// one walk over all directories, when the first such file is asked for.
type linkCounts struct {
	once  sync.Once
	err   error
	count map[uint64]uint32 // by shown inode number; those of more than one name
}

// shownLinks is how many names of the lower lead to a file.
func (d *dirsLower) shownLinks(ino uint64) (uint32, error) {
	l := &d.links
	l.once.Do(func() {
		l.count = make(map[uint64]uint32)
		if l.err = d.countLinks(d.root(), l.count); l.err != nil {
			return
		}
		several := make(map[uint64]uint32)
		for ino, n := range l.count {
			if n > 1 {
				several[ino] = n
			}
		}
		l.count = several
	})
	if n := l.count[ino]; n > 1 {
		return n, l.err
	}
	return 1, l.err
}

func (d *dirsLower) countLinks(dir lowerRef, count map[uint64]uint32) error {
	var dirs []lowerRef
	err := d.readdir(dir, 0, func(e *lowerEntry) bool {
		switch {
		case !e.ref.ok() || e.name == "." || e.name == "..":
		case e.typ == unix.S_IFDIR:
			dirs = append(dirs, e.ref)
		default:
			count[d.ino(e.ref)]++
		}
		return true
	})
	for _, sub := range dirs {
		if err == nil {
			err = d.countLinks(sub, count)
		}
	}
	return err
}

package unionfs

import (
	"path"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/whiteout"
)

// Marks of a file that was copied up without all of its data. Its holes are the
// list of what is missing: below a bound they stand for the lower file's data.
// As long as neither data nor size were changed it is what the kernel calls a
// metacopy, and the kernel's overlay shows it (Documentation/filesystems/
// overlayfs.rst, "Metadata only copy up"). From then on its redirect leads to
// where nothing can be, so that the kernel's overlay refuses its data (EIO)
// instead of showing the old, until [FS.Complete] was there.
const (
	// markPartial holds the bound, in bytes, decimal.
	markPartial = string(whiteout.KeyPartial)
	// poison stands before the path of a redirect that only this package may
	// follow: no lower can hold a name that begins with ".wh.".
	poison = whiteout.Poison
)

const (
	// partialUnit is what is copied up at once, in bytes: a page, which a killed
	// server has written wholly or not at all.
	partialUnit = cow.PartialUnit
	// lateFrom is the size in bytes from which a file's data is copied when it
	// is written to, and not before. A smaller one costs less to copy than to mark.
	lateFrom = 64 << 10
)

// A partial is what is known of an upper file that lacks data. The node keeps
// reading what is missing from the lower file.
type partial struct {
	src  lowerRef // immutable: the lower file
	path string   // immutable: where src is in the lower; empty when the file has no name

	// mu is held for reading while data is read, or written where units are
	// there; for writing while units come or the bound moves. While it is held
	// only what a lower takes to read a file is taken: see the package comment.
	mu sync.RWMutex
	// bound is where the lower file's data ends to count, never past the upper
	// file's end. Either it is that end, or a multiple of the unit, or the unit
	// that it lies in is there.
	bound  int64
	have   []uint64 // bit set: that unit below bound is in the upper
	marked bool     // markPartial is set, the redirect is poisoned
	done   bool     // nothing is missing any more
}

func newPartial(src lowerRef, path string, bound int64) *partial {
	units := (bound + partialUnit - 1) / partialUnit
	return &partial{src: src, path: path, bound: bound, have: make([]uint64, (units+63)/64)}
}

func (p *partial) has(unit int64) bool { return p.have[unit>>6]&(1<<(unit&63)) != 0 }
func (p *partial) set(unit int64)      { p.have[unit>>6] |= 1 << (unit & 63) }

// end is the end of the unit's data below the bound.
func (p *partial) end(unit int64) int64 { return min((unit+1)*partialUnit, p.bound) }

// run tells whether the data at off, below bound, is in the upper, and how far
// that holds, at most to limit.
func (p *partial) run(off, limit int64) (there bool, end int64) {
	limit = min(limit, p.bound)
	u := off / partialUnit
	there = p.has(u)
	var same uint64 // what have holds for 64 units that are as the first
	if there {
		same = ^uint64(0)
	}
	for end = (u + 1) * partialUnit; end < limit; end = (u + 1) * partialUnit {
		u++
		if u&63 == 0 && end+64*partialUnit <= limit && p.have[u>>6] == same {
			u += 63
			continue
		}
		if p.has(u) != there {
			return there, end
		}
	}
	return there, limit
}

// whole tells whether all units in [off, end) that lie below the bound are there.
func (p *partial) whole(off, end int64) bool {
	if off >= min(end, p.bound) {
		return true
	}
	there, to := p.run(off, end)
	return there && to >= min(end, p.bound)
}

// closed tells whether the file may grow: the unit in which the bound lies is
// there, so that what comes behind it is not taken for the lower file's.
func (p *partial) closed() bool {
	return p.bound%partialUnit == 0 || p.has(p.bound/partialUnit)
}

// partialOf returns what n's upper file lacks, nil when it is whole.
func (n *node) partialOf() *partial {
	if up := n.up.Load(); up != nil {
		return up.partial.Load()
	}
	return nil
}

// readPartial is readAt for a file that lacks data; fd is the upper file.
func (f *FS) readPartial(p *partial, fd int, b []byte, off int64) (int, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	done := 0
	for done < len(b) {
		from := off + int64(done)
		if p.done || from >= p.bound {
			n, err := preadFull(fd, b[done:], from)
			return done + n, err
		}
		there, end := p.run(from, off+int64(len(b)))
		part := b[done : done+int(end-from)]
		var n int
		var err error
		if there {
			n, err = preadFull(fd, part, from)
		} else {
			n, err = f.lower.readAt(p.src, part, from)
		}
		done += n
		if err == nil && n < len(part) {
			err = unix.EIO // the lower file, or somebody else's hand in the upper
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// seekPartial is lseek with SEEK_DATA or SEEK_HOLE for a file that lacks data.
func (f *FS) seekPartial(p *partial, fd int, off int64, whence int) (int64, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	from := off
	for !p.done && off < p.bound {
		there, end := p.run(off, p.bound)
		if there {
			if whence == unix.SEEK_DATA {
				return off, nil
			}
			off = end
			continue
		}
		at, err := f.lower.seek(p.src, off, whence)
		if err != nil && err != unix.ENXIO {
			return 0, err
		}
		if err == nil && at < end {
			return at, nil
		}
		off = end
	}
	at, err := unix.Seek(fd, off, whence)
	if err == unix.ENXIO && whence == unix.SEEK_HOLE && off > from {
		return off, nil // data to the end of the file, where a hole is implied
	}
	return at, err
}

// loadPartial finds what the upper file at q, which carries a metacopy mark,
// lacks: its holes below the bound. EIO when the lower file isn't there.
func (f *FS) loadPartial(dir *node, q at, st *unix.Stat_t, m *marks) (*partial, error) {
	where, marked := strings.CutPrefix(m.redirect, poison)
	if !strings.HasPrefix(where, "/") {
		// The kernel's: the same name, or another one in the same directory.
		name := where
		if name == "" {
			name = q.name
		}
		if !dir.lower.ok() || strings.Contains(name, "/") {
			return nil, unix.EIO
		}
		base, err := f.lowerPath(dir)
		if err != nil {
			return nil, err
		}
		// The name may change, the path may not.
		where = path.Join(base, name)
		if err := q.setxattr(f.upper.marks+markRedirect, []byte(where), 0); err != nil {
			return nil, err
		}
	}
	e, err := f.lowerAt(where)
	if err == unix.ENOENT || err == nil && e.typ != unix.S_IFREG {
		return nil, unix.EIO
	}
	if err != nil {
		return nil, err
	}
	bound := st.Size
	if m.partial != "" {
		marked = true
		b, err := strconv.ParseInt(m.partial, 10, 64)
		if err != nil || b < 0 {
			return nil, unix.EIO
		}
		bound = min(bound, b)
	}
	p := newPartial(e.ref, where, bound)
	p.marked = marked
	fd, err := q.open(unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return p, p.loadUnits(fd)
}

// loadUnits reads from the upper file which units are there.
func (p *partial) loadUnits(fd int) error {
	return cow.PartialRuns(fd, p.bound, func(off, end int64) {
		for u := off / partialUnit; u*partialUnit < end; u++ {
			p.set(u)
		}
	})
}

// lowerAt finds what is at a clean absolute path in the lower; ENOENT.
func (f *FS) lowerAt(where string) (lowerEntry, error) {
	e := lowerEntry{ref: f.lower.root(), typ: unix.S_IFDIR}
	for part := range strings.SplitSeq(strings.Trim(where, "/"), "/") {
		if e.typ != unix.S_IFDIR || part == "" || part == "." || part == ".." {
			return lowerEntry{}, unix.ENOENT
		}
		var err error
		if e, err = f.lower.lookup(e.ref, part); err != nil {
			return lowerEntry{}, err
		}
	}
	return e, nil
}

// canBePartial tells whether the filesystem under the upper directory keeps
// holes where nothing was written and data where something was, to the unit,
// and the marks. t is a free name in the work directory.
func (u *upperDir) canBePartial(t at) bool {
	var fs unix.Statfs_t
	if unix.Fstatfs(u.work, &fs) != nil || fs.Bsize > partialUnit {
		return false
	}
	switch fs.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
	default:
		return false // others may hand out holes for zeros that were written, or none
	}
	fd, err := unix.Openat(t.dirfd, t.name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false
	}
	defer func() {
		unix.Close(fd)
		u.discard(t)
	}()
	const size = 16 * partialUnit
	if unix.Ftruncate(fd, size) != nil || unix.Fsetxattr(fd, u.marks+markMetacopy, nil, 0) != nil {
		return false
	}
	if _, err := unix.Pwrite(fd, make([]byte, partialUnit), 5*partialUnit); err != nil {
		return false
	}
	data, err1 := unix.Seek(fd, 0, unix.SEEK_DATA)
	hole, err2 := unix.Seek(fd, data, unix.SEEK_HOLE)
	_, err3 := unix.Seek(fd, hole, unix.SEEK_DATA)
	return err1 == nil && err2 == nil && data == 5*partialUnit && hole == 6*partialUnit && err3 == unix.ENXIO
}

package layerpack

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// Squash writes layers, bottom first, as one, from their tables of contents and
// tars: nothing is unpacked. Without o.Below the result is the whole root that
// they come to, its attributes first, and has no whiteouts. With o.Below it is
// what they change on those, which lie below them and stay. All is as the layers
// have it, the times of directories too.
func Squash(ctx context.Context, w io.Writer, layers []cow.Layer, o WriteOptions) (Written, error) {
	s, err := newSquasher(ctx, layers, o.Below)
	if err != nil {
		return Written{}, fmt.Errorf("squash: %w", err)
	}
	defer s.tars.close()
	o.DirTimes = true
	written, err := WriteLayer(ctx, w, s.entries(), o)
	if err != nil {
		return Written{}, fmt.Errorf("squash: %w", err)
	}
	return written, nil
}

// A squasher compares two merges: of the layers that stay, and of all.
type squasher struct {
	below, all *node // their roots
	kept       int32 // how many layers stay
	tars       *fileSet

	// Of inodes with several names, in the merge of all: which is written under
	// all of them, because one is another than before; what it was; its number.
	whole  map[*node]bool
	was    map[*node]*node
	number map[*node]uint64

	yield   func(cow.Entry, error) bool
	pending []cow.Entry // directories on the way that have not been written
}

func newSquasher(ctx context.Context, layers, below []cow.Layer) (*squasher, error) {
	before, _, err := mergeChain(ctx, below)
	if err != nil {
		return nil, err
	}
	chain := slices.Concat(below, layers)
	after, _, err := mergeChain(ctx, chain)
	if err != nil {
		return nil, err
	}
	s := &squasher{
		below: before.root, all: after.root, kept: int32(len(below)), tars: newFileSet(tarPaths(chain)),
		whole: map[*node]bool{}, was: map[*node]*node{}, number: map[*node]uint64{},
	}
	count(s.all)
	s.links(s.all, s.below)
	return s, nil
}

// count makes nlink the number of names of all but directories.
func count(dir *node) {
	for _, n := range dir.dir.kids {
		if n.isDir() {
			count(n)
		} else {
			n.nlink++
		}
	}
}

// links finds the inodes with several names of which one is another than
// before.
func (s *squasher) links(dir, old *node) {
	for name, n := range dir.dir.kids {
		was := old.kid(name)
		if n.isDir() {
			s.links(n, was)
			continue
		}
		if n.nlink < 2 {
			continue
		}
		if first, known := s.was[n]; known && first != was || s.changed(n, was) {
			s.whole[n] = true
		}
		s.was[n] = was
	}
}

// kid is what a directory holds under a name; nil if it is none, or nothing.
func (n *node) kid(name string) *node {
	if n == nil || !n.isDir() {
		return nil
	}
	return n.dir.kids[name]
}

// changed tells whether n is another object than was, but for what a directory
// holds.
func (s *squasher) changed(n, was *node) bool {
	if was == nil || n.layer >= s.kept || n.isDir() != was.isDir() {
		return true
	}
	return n.layer != was.layer || n.mode != was.mode || n.uid != was.uid || n.gid != was.gid || n.mtime != was.mtime || n.nsec != was.nsec ||
		n.size != was.size || n.off != was.off || n.dev != was.dev || n.target() != was.target() || !slices.Equal(n.xattrs(), was.xattrs())
}

// entries are what is to be written.
func (s *squasher) entries() iter.Seq2[cow.Entry, error] {
	return func(yield func(cow.Entry, error) bool) {
		s.yield = yield
		if s.kept == 0 || s.changed(s.all, s.below) {
			if !yield(s.entry("/", s.all, s.below), nil) {
				return
			}
		}
		s.dir("", s.all, s.below)
	}
}

// dir writes what is in a directory at p; false when nobody wants more.
func (s *squasher) dir(p string, dir, old *node) bool {
	names := maps.Clone(dir.dir.kids)
	if old != nil && old.isDir() {
		for name := range old.dir.kids {
			if names[name] == nil {
				if names == nil {
					names = map[string]*node{}
				}
				names[name] = nil
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n, was, at := names[name], old.kid(name), p+"/"+name
		if n == nil {
			if !s.list(cow.Entry{Change: cow.Change{Path: at, Kind: cow.Deleted}, Before: was.attr()}) {
				return false
			}
			continue
		}
		e := s.entry(at, n, was)
		listed := s.changed(n, was) || s.whole[n]
		if listed && !s.list(e) {
			return false
		}
		if !n.isDir() {
			continue
		}
		if !listed {
			s.pending = append(s.pending, e)
		}
		if !s.dir(at, n, was) {
			return false
		}
		// Either list has emptied pending, or this directory is its last still.
		if k := len(s.pending); !listed && k > 0 {
			s.pending = s.pending[:k-1]
		}
	}
	return true
}

func (s *squasher) list(e cow.Entry) bool {
	for _, p := range s.pending {
		if !s.yield(p, nil) {
			return false
		}
	}
	s.pending = s.pending[:0]
	return s.yield(e, nil)
}

func (s *squasher) entry(p string, n, was *node) cow.Entry {
	e := cow.Entry{Change: cow.Change{Path: p, Kind: cow.Added}, Attr: n.attr(), Target: n.target()}
	if was != nil {
		e.Kind, e.Before = cow.Changed, was.attr()
	}
	for _, x := range n.xattrs() {
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		e.Xattrs[x.name] = x.value
	}
	if n.nlink > 1 {
		if s.number[n] == 0 {
			s.number[n] = uint64(len(s.number) + 1)
		}
		e.Inode = s.number[n]
	}
	if n.mode&unix.S_IFMT == unix.S_IFREG {
		e.Open = func() (cow.Data, error) {
			d := &packedData{files: s.tars.use(), size: n.size}
			for _, r := range n.dataRuns() {
				d.runs = append(d.runs, packedRun{r, int(n.layer)})
			}
			return d, nil
		}
	}
	return e
}

func (n *node) attr() cow.Attr {
	a := cow.Attr{Mode: n.mode, UID: n.uid, GID: n.gid, Size: n.size, Mtime: n.mtime, MtimeNsec: n.nsec}
	switch n.mode & unix.S_IFMT {
	case unix.S_IFLNK:
		a.Size = int64(len(n.target()))
	case unix.S_IFCHR, unix.S_IFBLK:
		a.Rdev = decodeDev(n.dev)
	}
	return a
}

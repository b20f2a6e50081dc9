package layerpack

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A node is one inode of the tree that layers are merged into.
type node struct {
	mode     uint32
	uid, gid uint32
	nsec     uint32
	mtime    int64
	size     int64 // of a regular file, bytes
	off      int64 // of its data in the tar of layer, unless sparse
	layer    int32 // that brought it
	dev      uint32
	nlink    uint32
	nid      NID        // set by the layout
	dir      *directory // of a directory
	ext      *extension // of the few that have one
}

// extension is what few inodes have.
type extension struct {
	target string // of a symbolic link
	xattrs []xattr
	sparse []run // data of a sparse file, ascending; no run: all hole
	holes  bool  // the file is sparse
}

type xattr struct{ name, value string }

// A run is a stretch of a sparse file that has data.
type run struct{ off, len, tar int64 } // in the file, bytes, in the tar

// directory is what a node that is a directory has besides.
type directory struct {
	parent *node // the root's is the root
	depth  int
	kids   map[string]*node

	sorted []kid // set by the layout
	size   int64

	delta *dirDelta // what the extracted layer changed here
}

type kid struct {
	name string
	*node
}

func (n *node) isDir() bool  { return n.dir != nil }
func (n *node) isLink() bool { return n.mode&unix.S_IFMT == unix.S_IFLNK }

func (n *node) xattrs() []xattr {
	if n.ext == nil {
		return nil
	}
	return n.ext.xattrs
}

func (n *node) target() string {
	if n.ext == nil {
		return ""
	}
	return n.ext.target
}

// dataRuns is where in its tar a regular file's data is.
func (n *node) dataRuns() []run {
	switch {
	case n.ext != nil && n.ext.holes:
		return n.ext.sparse
	case n.size == 0:
		return nil
	}
	return []run{{0, n.size, n.off}}
}

// set gives the directory a child, in place of what had the name.
func (d *directory) set(name string, n *node) {
	if d.kids == nil {
		d.kids = make(map[string]*node)
	}
	d.kids[name] = n
}

// names are the children in byte order.
func (d *directory) names() []kid {
	s := make([]kid, 0, len(d.kids))
	for name, n := range d.kids {
		s = append(s, kid{name, n})
	}
	slices.SortFunc(s, func(a, b kid) int { return strings.Compare(a.name, b.name) })
	return s
}

// arena hands out nodes from slabs: a merge makes very many.
type arena struct{ slab []node }

func (a *arena) node() *node {
	if len(a.slab) == 0 {
		a.slab = make([]node, 512)
	}
	n := &a.slab[0]
	a.slab = a.slab[1:]
	return n
}

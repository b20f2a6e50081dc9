package unionfs

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A node is one inode that the kernel, or another node, holds a reference to.
// All names of a hard-linked file lead to one node, and it stays the same node
// when its file is copied up: that is why a descriptor opened before sees what
// is written after.
type node struct {
	id    uint64   // immutable: index in the table, the kernel's nodeid
	gen   uint32   // immutable: tells this use of id from earlier ones
	typ   uint32   // immutable: S_IFMT bits
	lower lowerRef // immutable: the object below; for a directory, what it is merged with

	// refs counts the kernel's lookups, one for every child that names this
	// node as its parent, and calls in progress. At 0 the node is dead for ever.
	refs atomic.Int64

	// up is set once, when the object has a place in the upper directory.
	up atomic.Pointer[upperObj]

	mu sync.Mutex
	// parent and name are a place under which the object is found; parent is
	// nil for the root and for what has no name left. Protected by mu, and for
	// directories by FS.places as well (both to write, either to read).
	parent *node
	name   string

	dir *dirState // immutable; directories only
}

// upperObj is what a node knows of its object in the upper directory.
type upperObj struct {
	key uint64 // immutable: identity in the upper directory (inode number)
	ino uint64 // immutable: the st_ino that is shown

	// override: the object carries override_stat. Set before publication and
	// by whoever writes the attribute.
	override atomic.Bool

	// noCaps: there are no file capabilities under another name to be dropped.
	noCaps atomic.Bool

	// bare: the object was made by this server without any attribute, and none
	// has been set since.
	bare atomic.Bool

	// passed: the kernel has had the file to write to by itself.
	passed atomic.Bool

	// partial is what the file lacks of its data; nil once it is whole.
	partial atomic.Pointer[partial]

	// pin keeps an object without a name in reach (O_PATH). Protected by node.mu
	// for writing.
	pin atomic.Pointer[handle]

	// entry is the object's in the index, nil if it has none. Immutable.
	entry *indexEntry

	// hidden is how many more names show than the object has links, of one in
	// the index: names that still lead to the lower file count, the index
	// doesn't. Changed under node.mu.
	hidden atomic.Int64

	// redirect is the path, below the lower root, that a renamed directory is
	// merged with; empty: the one of the same name. Protected by FS.places.
	redirect string
}

func (n *node) isDir() bool { return n.typ == unix.S_IFDIR }

// nameless tells whether n is a file that is in use but has no name any more.
func (n *node) nameless() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.parent == nil
}

// hasUpper tells whether the object was created in or copied to the upper.
func (n *node) hasUpper() bool { return n.up.Load() != nil }

// acquire takes a reference unless the node is dead.
func (n *node) acquire() bool {
	for {
		r := n.refs.Load()
		if r <= 0 {
			return false
		}
		if n.refs.CompareAndSwap(r, r+1) {
			return true
		}
	}
}

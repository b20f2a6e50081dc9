package treediff

import (
	"slices"
	"strings"
)

// Root is the path that a record has for the top of the tree.
const Root = "."

// A Record is a tree, its entries in byte order of their paths, the root first.
type Record struct {
	Entries []Entry
}

// An Entry is one name of a tree and what stands behind it. Strings hold bytes.
type Entry struct {
	Path     string // relative to the root, without a leading slash
	Mode     uint32 // type and permission bits with setuid, setgid, sticky, as in stat(2)
	UID, GID uint32
	Size     int64   // bytes; of a symlink the length of its target
	Sec      int64   // mtime, seconds since the epoch, may be negative
	Nsec     int64   // mtime, nanoseconds, 0 to 999999999
	Nlink    uint64  // as stat(2) says, whatever the names found in the tree
	Rdev     uint64  // of devices, as unix.Mkdev; else 0
	Link     string  // target of a symlink
	Xattrs   []Xattr // by name
	SHA256   string  // of a regular file's content, raw; empty if content was not recorded
	Group    string  // first path of the hard-link group; empty for a single name
}

// An Xattr is one extended attribute.
type Xattr struct {
	Name, Value string
	// Err is set, and Value empty, where the attribute was listed but could
	// not be read: a tree that lists what it refuses to give is itself a finding.
	Err string
}

// Lookup finds the entry of a path.
func (r *Record) Lookup(path string) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(r.Entries, path, func(e Entry, p string) int { return comparePaths(e.Path, p) })
	if !ok {
		return Entry{}, false
	}
	return r.Entries[i], true
}

// Sort puts the entries in order and makes the groups name their first path.
// inode tells, by index into Entries before the call, which entries are one
// inode; equal numbers are one.
func (r *Record) Sort(inode []uint64) {
	order := make([]int, len(r.Entries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return comparePaths(r.Entries[a].Path, r.Entries[b].Path) })
	first := make(map[uint64]int, len(order)) // inode → position of its first name
	sorted := make([]Entry, len(order))
	for pos, i := range order {
		sorted[pos] = r.Entries[i]
		sorted[pos].Group = ""
		if at, seen := first[inode[i]]; seen {
			sorted[at].Group = sorted[at].Path
			sorted[pos].Group = sorted[at].Path
		} else {
			first[inode[i]] = pos
		}
	}
	r.Entries = sorted
}

// comparePaths is byte order with the root before everything.
func comparePaths(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == Root:
		return -1
	case b == Root:
		return 1
	}
	return strings.Compare(a, b)
}

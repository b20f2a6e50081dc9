package cow

import (
	"io"
	"strings"

	"github.com/cfs-project/cfs/whiteout"
)

// An Entry is a change with all that a layer says of what is there now.
type Entry struct {
	Change
	Attr   Attr // of what is there now; zero if it is Deleted
	Before Attr // of what the base has; zero if it is Added
	// Xattrs are those that belong to the object wherever it is, by the names
	// that its user sees: see [Carried].
	Xattrs map[string]string
	Target string // of a symlink
	// Inode is the same number, and not 0, for all names of one hard-linked
	// file; 0 for an object with one name. It says nothing else.
	Inode uint64
	// Open opens the content of a regular file; nil for all else. It may be
	// called while the entry is at hand, until the sequence goes on; what it
	// returned stays good after that.
	Open func() (Data, error)
}

// Data is the content of a regular file, of [Entry.Attr].Size bytes.
type Data interface {
	io.ReaderAt // holes read as zeros
	// Extents are the runs of the file that are not holes, ascending, none
	// empty, none touching another.
	Extents() ([]Extent, error)
	io.Closer
}

// An Extent is a run of a file's bytes.
type Extent struct{ Off, Len int64 }

func (e Extent) end() int64 { return e.Off + e.Len }

// Carried tells whether an extended attribute belongs to the object itself, so
// that a layer carries it: capabilities, ACLs, and what users and root
// attached. Labels, such as security.selinux and security.ima, are the host's,
// and what a union wrote for itself says nothing of the object.
func Carried(name string) bool {
	switch {
	case name == "security.capability", name == "system.posix_acl_access", name == "system.posix_acl_default":
		return true
	case strings.HasPrefix(name, "user."), strings.HasPrefix(name, "trusted."):
		return !whiteout.Bookkeeping(name)
	}
	return false
}

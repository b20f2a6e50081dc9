package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cfs-project/cfs/layerpack"
)

// lower is everything below the upper directory, already merged: whiteouts and
// opaque directories don't show. It never changes while it is mounted. Its
// methods may be called concurrently and hold no lock of the union.
type lower interface {
	root() lowerRef
	// ino is the inode number shown for r: not 0, unique, below upperTag, the
	// same at every mount.
	ino(r lowerRef) uint64
	// attr fills a with r's attributes, ids as the layer has them.
	attr(r lowerRef, a *fuse.Attr) error
	// lookup finds a name; ENOENT.
	lookup(dir lowerRef, name string) (lowerEntry, error)
	// readdir calls fn for every name after off, "." and ".." among them (with
	// a zero ref), until fn returns false. Names stay valid while r's lower is open.
	readdir(dir lowerRef, off uint64, fn func(e *lowerEntry) bool) error
	readlink(r lowerRef) ([]byte, error)
	// getxattr returns ENODATA when there is none of that name.
	getxattr(r lowerRef, name string) ([]byte, error)
	listxattr(r lowerRef, fn func(name string)) error
	// escaped tells whether names of attributes are those of an upper
	// directory, see xattr_names.go.
	escaped() bool
	// readAt reads as much of p as the file has; short only at its end.
	readAt(r lowerRef, p []byte, off int64) (int, error)
	// seek is lseek with SEEK_DATA or SEEK_HOLE; ENXIO past the end.
	seek(r lowerRef, off int64, whence int) (int64, error)
	// copyTo writes the data of r, from its start to size, to the empty file
	// dst, holes kept.
	copyTo(r lowerRef, dst int, size int64) error
	// layer names the layer that r came from: a diff ID or a directory; "" if
	// no layer has it (a parent that was only implied).
	layer(r lowerRef) string
	// statfs fills what df shows for a union without an upper directory.
	statfs(out *fuse.StatfsOut) error
	// close closes every descriptor; no other call may follow.
	close() error
}

// lowerRef names an object of a lower; the zero value is none.
type lowerRef struct {
	nid layerpack.NID // packed
	obj *dirObj       // directories
}

func (r lowerRef) ok() bool { return r.nid != 0 || r.obj != nil }

// lowerEntry is one name of a lower directory.
type lowerEntry struct {
	name string
	ref  lowerRef
	typ  uint32 // S_IFMT bits
	off  uint64 // where readdir continues after it; below upperCookies
}

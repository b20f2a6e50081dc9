package cow

import (
	"errors"
	"fmt"
	"iter"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// An Attr is what makes one object differ from another of the same name.
type Attr struct {
	Mode      uint32 // st_mode: type and permissions
	UID, GID  uint32
	Rdev      uint64 // st_rdev of devices, 0 for all others
	Size      int64  // bytes; not looked at for directories
	Mtime     int64  // seconds since 1970; not looked at for directories
	MtimeNsec uint32
}

// IsDir tells whether a is a directory's.
func (a Attr) IsDir() bool { return a.is(unix.S_IFDIR) }

func (a Attr) is(typ uint32) bool { return a.Mode&unix.S_IFMT == typ }

// A Base answers what a snapshot's chain has at a path. Paths are absolute
// within the root, clean, and never go through a symlink: an element that is no
// directory has nothing below it. All but Lookup are called for paths at which
// Lookup found what they are about.
type Base interface {
	// Lookup tells what is at path, and false if there is nothing.
	Lookup(path string) (Attr, bool, error)
	// ReadDir names what the directory at path holds, in any order, without
	// "." and "..".
	ReadDir(path string) ([]string, error)
	// Xattrs are those of the object at path, without a union's own.
	Xattrs(path string) (map[string]string, error)
	// Readlink is the target of the symlink at path.
	Readlink(path string) (string, error)
	// Open opens the content of the regular file at path. It stays good after
	// the base is closed.
	Open(path string) (Data, error)
	// Inode is a number that the names of one hard-linked file share and no other
	// file has; 0 for a file with one name. It is no directory's.
	Inode(path string) (uint64, error)
}

// Upper is an upper directory in the format of overlayfs, as the kernel or a
// union in userspace wrote it, and how to read it.
type Upper struct {
	Dir string // the upper directory
	// Dialect is how deletions are written in it: Trusted, User, or FuseOverlay;
	// both forms of whiteouts are read. Plain: Dir is a whole tree, and nothing
	// of the base shines through it.
	Dialect whiteout.Dialect
	Base    Base // what it lies on
	// Work, when not empty, is the work directory, in which the kernel may keep an
	// index of hard links; then Base has to be a [HandleBase].
	Work string
	// Attr, when not nil, mends what stat told of an object, for unions that keep owners or
	// modes in an xattr. Xattr gives the object's own.
	Attr func(a *Attr, xattr func(name string) (string, bool)) error
	// XattrName, when not nil, is the name of the attribute that is stored as
	// stored, for unions that keep some under another name.
	XattrName func(stored string) string
	// Same, when not nil, knows of an object of a Plain tree, and of all that it
	// holds, that nothing was changed since the tree was made from the base. Such
	// are passed over, unless stat says otherwise; of the others contents are
	// compared, too.
	Same func(st *unix.Stat_t) bool
}

// Changes lists what u changes on its base, in the words of `docker diff`:
//
//   - A: there was nothing at the path.
//   - C: something else was: its type, mode, owner, device number or extended
//     attributes differ, or, other than for a directory, size, mtime or
//     content. A directory is also listed when anything is that it holds
//     directly or deeper; the root never is.
//   - D: there was something, and nothing is now. What a deleted directory held
//     is not listed, nor what a directory held that something else replaced.
//
// Directories come before what they hold, names in byte order. A directory
// renamed with a redirect is Added at its new path with all it holds. An object
// in the upper that equals the base's is not listed; contents are compared
// where nothing else differs. Of Plain trees they are not, if Same is nil: a file
// with the size and the time of the base's is taken for it.
//
// Names that appear or vanish while this runs may or may not be listed. The
// first error ends the sequence.
//
// (moby, daemon/graphdriver's naive diff and pkg/archive/changes.go, is where
// the rules come from; extended attributes other than security.capability, and
// contents, are an addition, as a commit would otherwise lose them.)
func (u Upper) Changes() iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		w := changeWalk{u: u}
		w.emit = func(s step) error {
			if !yield(s.Change, nil) {
				return errStop
			}
			return nil
		}
		if err := w.run(); err != nil && !errors.Is(err, errStop) {
			yield(Change{}, fmt.Errorf("listing changes: %w", err))
		}
	}
}

// errStop says that the consumer wants no more.
var errStop = errors.New("stopped")

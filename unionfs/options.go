package unionfs

import (
	"os"

	"github.com/cfs-project/cfs/layerpack"
)

// Options say what a union is made of. Either Index and Tars or LowerDirs is given.
type Options struct {
	// Index and Tars are the packed lower: the merged index, and one open tar a
	// layer, bottom first, as Index.Layers has them. New takes them over: they
	// are closed by FS.Close, or by New when it fails.
	Index  *layerpack.Index
	Tars   []*os.File
	noData bool // there are no Tars, as no file is read
	// LowerDirs are plain directories, topmost first, as overlayfs's lowerdir.
	LowerDirs []string
	// DataDirs are data-only layers below them: they hold nothing but the data
	// of metacopy files with an absolute redirect.
	DataDirs []string

	// Upper and Work are the writable directory and its work directory on the
	// same filesystem. Empty: the union is read-only.
	Upper, Work string
	// Volatile leaves out every fsync: after a crash of the host the upper
	// directory is to be thrown away.
	Volatile bool

	Xattr    XattrNamespace
	Override OverrideMode
	// NoRedirect lets a rename of a directory that comes from below fail with
	// EXDEV instead of leaving a redirect.
	NoRedirect bool
	// NoMetacopy copies a lower file's data when its attributes change, and
	// NoPartial all of it when some of it is written to. Without them that waits,
	// where the filesystem under the upper directory has what it takes (see partial.go).
	NoMetacopy, NoPartial bool
	// StaticNlink shows a link count of 1 for every directory.
	StaticNlink bool
	// CopyUpAtOpen copies a file up when it is opened for writing, as the kernel's
	// overlayfs does, not at the first write: what keeps it from being copied
	// (ENOSPC, EDQUOT) is said by open(2), and the file is in the upper directory
	// from then on. A large file's data still waits to be written to. It costs
	// two requests for every open, of which there are none otherwise.
	CopyUpAtOpen bool
	// LinkIndex keeps lower hard-link groups together by the kernel's index in the
	// work directory (overlayfs.rst, "Index") instead of copying all their names up:
	// the upper directory alone is then not what the union shows. It needs root, and
	// lowers with file handles. Without it an index that is there is resolved, by
	// linking the names it stands for.
	LinkIndex bool
	// NoACL refuses POSIX ACLs with EOPNOTSUPP.
	NoACL bool

	// UIDMap and GIDMap translate between the ids on disk and those shown.
	UIDMap, GIDMap []IDRange
	// SquashUID and SquashGID, unless nil, are shown for every file.
	SquashUID, SquashGID *uint32
	// KeepUnmapped shows ids that the mount's user namespace doesn't have as
	// they are (the kernel turns them to the overflow id and refuses writes to
	// such files) instead of as 0.
	KeepUnmapped bool

	// MaxOpen bounds the descriptors kept open on files, and as many again on
	// directories; 0: a quarter of RLIMIT_NOFILE, at most 1024.
	MaxOpen int
}

// XattrNamespace is where the marks of overlayfs are kept in the upper directory.
type XattrNamespace uint8

// The namespaces.
const (
	// XattrAuto is trusted for the host's root and user for everybody else.
	XattrAuto XattrNamespace = iota
	XattrTrusted
	XattrUser
)

// OverrideMode says when owner and mode are kept in override_stat.
type OverrideMode uint8

// The modes.
const (
	// OverrideAuto keeps them there where the process can't set them on the
	// file, and not at all for the host's root.
	OverrideAuto OverrideMode = iota
	// OverrideAlways keeps them there only.
	OverrideAlways
	// OverrideNever neither writes nor reads override_stat.
	OverrideNever
)

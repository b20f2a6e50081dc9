package whiteout

import "strings"

// A Namespace is the prefix of the xattrs that a mount of overlayfs treats as
// its own.
type Namespace string

// The namespaces of the kernel's overlayfs. User is what a mount with the
// option userxattr uses, as every one in a user namespace must (overlayfs.rst,
// "User xattr").
const (
	TrustedXattr Namespace = "trusted.overlay."
	UserXattr    Namespace = "user.overlay."
)

// A Key is the name of an overlayfs xattr without its namespace
// (fs/overlayfs/overlayfs.h, enum ovl_xattr).
type Key string

// The xattrs of overlayfs and what their values are.
const (
	KeyOpaque   Key = "opaque"   // on a directory: [OpaqueYes] or [OpaqueXWhiteouts]
	KeyRedirect Key = "redirect" // where the lower object is: an absolute path in the overlay, or a sibling's name
	KeyMetacopy Key = "metacopy" // on a file: data is still in the lower one; empty, or a header with a digest
	KeyOrigin   Key = "origin"   // file handle of the lower object this was copied up from
	KeyImpure   Key = "impure"   // on a directory: it may hold objects with an origin
	KeyNlink    Key = "nlink"    // union link count relative to upper's or lower's: "U+1", "L-2"
	KeyUpper    Key = "upper"    // in the index: file handle of the upper object
	KeyUUID     Key = "uuid"     // on the upper root: the uuid the mount shows
	KeyProtattr Key = "protattr" // inode flags (immutable, append-only) kept away from upper
	KeyWhiteout Key = "whiteout" // on an empty file: it is a whiteout; any value
	// KeyPartial is cfs's own, on a file with KeyMetacopy that has some of its
	// data: the bound in bytes, decimal, below which what is a hole in it is the
	// data of the lower file.
	KeyPartial Key = "cfs.partial"
)

// Poison stands before the path in a KeyRedirect that only cfs may follow, that
// of a file with KeyPartial whose data was changed: no lower can hold a name that
// begins with ".wh.", so that the kernel refuses such a file instead of showing
// the data of before.
const Poison = "/" + MetaPrefix + "cfs-partial"

// The values of [KeyOpaque].
const (
	OpaqueYes        = "y" // hides the lower directories of that name
	OpaqueXWhiteouts = "x" // hides nothing, but whiteouts in it may be empty files
)

// Xattrs of fuse-overlayfs (its README and main.c).
const (
	FuseOverlayOpaque = "user.fuseoverlayfs.opaque" // "y", like KeyOpaque
	FuseOverlayPrefix = "user.fuseoverlayfs."       // all of its own
	// OverrideStat holds "uid:gid:mode[:type]" in place of what stat tells
	// (containers/storage, pkg/idtools; fuse-overlayfs's xattr_permissions).
	OverrideStat     = "user.containers.override_stat"
	OverrideStatFuse = "user.fuseoverlayfs.override_stat"
)

// escape is what stands between a namespace and the rest of a name that was
// given to a nested overlayfs (overlayfs.rst, "Nesting overlayfs mounts";
// OVL_XATTR_ESCAPE_PREFIX).
const escape = "overlay."

// Name is the full name of key's xattr.
func (ns Namespace) Name(key Key) string { return string(ns) + string(key) }

// Own tells whether name is one of the overlay's own in ns, and which. An
// escaped name belongs to a nested overlay and is not.
func (ns Namespace) Own(name string) (Key, bool) {
	rest, ok := strings.CutPrefix(name, string(ns))
	if !ok || strings.HasPrefix(rest, escape) {
		return "", false
	}
	return Key(rest), true
}

// Stored is the name under which an overlay with namespace ns keeps the xattr
// that its user calls name: names in ns get one more "overlay.", all others
// stay.
func (ns Namespace) Stored(name string) string {
	if rest, ok := strings.CutPrefix(name, string(ns)); ok {
		return string(ns) + escape + rest
	}
	return name
}

// Shown is the name that an overlay with namespace ns shows its user for the
// xattr stored under name, and false for the overlay's own, which it hides.
// It undoes [Namespace.Stored].
func (ns Namespace) Shown(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, string(ns))
	if !ok {
		return name, true
	}
	if rest, ok = strings.CutPrefix(rest, escape); !ok {
		return "", false
	}
	return string(ns) + rest, true
}

// Bookkeeping is true for an xattr that any union wrote for itself — either of
// the kernel's namespaces, or fuse-overlayfs's — and that therefore says
// something about a tree, and nothing about the file for its user.
func Bookkeeping(name string) bool {
	if _, own := TrustedXattr.Own(name); own {
		return true
	}
	if _, own := UserXattr.Own(name); own {
		return true
	}
	return strings.HasPrefix(name, FuseOverlayPrefix) || name == OverrideStat
}

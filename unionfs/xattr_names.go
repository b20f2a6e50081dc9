package unionfs

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// The names of attributes. What overlayfs and this package keep for themselves
// is hidden. A name in the namespace of the upper directory's marks that is set
// inside the mount belongs to somebody who nests another overlay in it; it is
// kept with one more "overlay." in it, as the kernel's overlay does
// (overlayfs.rst, "Nesting overlayfs mounts"):
//
//	shown                    on disk, upper and plain lowers
//	trusted.overlay.opaque   trusted.overlay.overlay.opaque
//	–                        trusted.overlay.opaque
//
// The layers of an image have names as they are shown.

// hiddenXattr tells whether an attribute on disk belongs to a union itself. Both
// namespaces of overlayfs count, for lowers may come from anywhere.
func hiddenXattr(stored string) bool {
	_, trusted := whiteout.TrustedXattr.Own(stored)
	_, user := whiteout.UserXattr.Own(stored)
	return trusted || user || strings.HasPrefix(stored, fuseMarks) || strings.HasPrefix(stored, encodedXattr)
}

// storedXattr is the name on disk of the attribute that is shown as name.
// EOPNOTSUPP: there can be none of that name.
func (f *FS) storedXattr(name string) (string, error) {
	if name == LayerXattr || f.noACL() && isACL(name) {
		return "", unix.EOPNOTSUPP
	}
	stored := f.marks.Stored(name)
	if hiddenXattr(stored) || len(stored) > xattrNameMax {
		return "", unix.EOPNOTSUPP
	}
	return stored, nil
}

// xattrNameMax is XATTR_NAME_MAX of include/uapi/linux/limits.h, in bytes.
const xattrNameMax = 255

// shownXattr undoes storedXattr; false for what is hidden.
func (f *FS) shownXattr(stored string) (string, bool) {
	if hiddenXattr(stored) || stored == LayerXattr || f.noACL() && isACL(stored) {
		return "", false
	}
	return f.marks.Shown(stored)
}

// copiedXattr is the name on disk for an attribute of the lower that is copied
// up; false if it stays below.
func (f *FS) copiedXattr(name string) (string, bool) {
	if !f.lower.escaped() {
		name = f.marks.Stored(name)
	}
	return name, !hiddenXattr(name) && len(name) <= xattrNameMax
}

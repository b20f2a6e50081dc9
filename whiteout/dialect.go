package whiteout

import "fmt"

// A Dialect is one way to write marks down; the table is in the package
// comment.
type Dialect uint8

// The dialects.
const (
	AUFS Dialect = iota
	Trusted
	User
	TrustedFiles
	UserFiles
	FuseOverlay
	Plain // no marks at all: a tree that lies on nothing is what it is
)

func (d Dialect) String() string {
	switch d {
	case AUFS:
		return "aufs"
	case Trusted:
		return "trusted"
	case User:
		return "user"
	case TrustedFiles:
		return "trusted-files"
	case UserFiles:
		return "user-files"
	case FuseOverlay:
		return "fuse-overlayfs"
	case Plain:
		return "plain"
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

// Namespace is where the kernel's overlayfs keeps the xattrs of d; empty for
// the dialects that are not its.
func (d Dialect) Namespace() Namespace {
	switch d {
	case Trusted, TrustedFiles:
		return TrustedXattr
	case User, UserFiles:
		return UserXattr
	}
	return ""
}

// devices tells whether a 0:0 device is a whiteout in d.
func (d Dialect) devices() bool { return d != AUFS && d != Plain }

// HasNames tells whether AUFS names are whiteouts in d.
func (d Dialect) HasNames() bool { return d == AUFS || d == FuseOverlay }

// An Xattr is one extended attribute.
type Xattr struct{ Name, Value string }

// A Form is what has to be created in, or set on, a directory of a layer to
// express a [Mark].
type Form struct {
	// Name of the object to create in the directory; empty when none is.
	Name string
	// Mode and device of that object: an empty regular file, or a character
	// device 0:0. Permissions are 0, as those of the kernel's are.
	Mode uint32
	Rdev uint64
	// Xattrs of that object.
	Xattrs []Xattr
	// DirXattrs are set on the directory itself. The two values of the opaque
	// xattr exclude each other: on a directory that is already opaque, "x" is
	// not to be set; see [MergeOpaque].
	DirXattrs []Xattr
}

// Encode says how m is written in d, in the directory that m.Target is gone
// from, or that is opaque. [Ordinary] and [Meta] need nothing. The error wraps
// [ErrInvalid] for a target that d can't express; Plain expresses none.
func (d Dialect) Encode(m Mark) (Form, error) {
	if d == Plain && (m.Kind == Remove || m.Kind == Opaque) {
		return Form{}, fmt.Errorf("%w: a plain tree has no marks", ErrInvalid)
	}
	switch m.Kind {
	case Remove:
		return d.encodeRemove(m.Target)
	case Opaque:
		switch d {
		case AUFS:
			return Form{Name: OpaqueName, Mode: modeReg}, nil
		case FuseOverlay:
			return Form{DirXattrs: []Xattr{{FuseOverlayOpaque, OpaqueYes}}}, nil
		}
		return Form{DirXattrs: []Xattr{{d.Namespace().Name(KeyOpaque), OpaqueYes}}}, nil
	}
	return Form{}, nil
}

func (d Dialect) encodeRemove(target string) (Form, error) {
	// Also in dialects that have no forbidden names, the target must be a name.
	if isDots(target) || !isElement(target) {
		return Form{}, fmt.Errorf("%w: %q is no name to remove", ErrInvalid, target)
	}
	switch d {
	case AUFS:
		name, err := Name(target)
		return Form{Name: name, Mode: modeReg}, err
	case TrustedFiles, UserFiles:
		ns := d.Namespace()
		return Form{
			Name: target, Mode: modeReg,
			Xattrs:    []Xattr{{ns.Name(KeyWhiteout), OpaqueYes}},
			DirXattrs: []Xattr{{ns.Name(KeyOpaque), OpaqueXWhiteouts}},
		}, nil
	}
	return Form{Name: target, Mode: modeChar}, nil
}

// MergeOpaque is the value of a directory's opaque xattr when two marks ask
// for one each: hiding everything wins, as a directory that hides everything
// needs no whiteouts.
func MergeOpaque(a, b string) string {
	if a == OpaqueYes || b == OpaqueYes {
		return OpaqueYes
	}
	if a != "" {
		return a
	}
	return b
}

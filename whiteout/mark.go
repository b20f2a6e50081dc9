package whiteout

import "fmt"

// File type bits of st_mode (stat.h), so that this package needs no
// platform's.
const (
	modeType = 0o170000
	modeChar = 0o020000
	modeReg  = 0o100000
	modeDir  = 0o040000
)

// A Mark is what an object of a layer says about the layers below it.
type Mark struct {
	// Kind is Opaque for an opaque directory itself, and for the AUFS file in
	// a directory that makes that one opaque.
	Kind   Kind
	Target string // the name that is gone, for Remove
}

// An Object is what [Read] needs to know of one object of a layer.
type Object struct {
	Name string // last element of its path
	Mode uint32 // st_mode
	Rdev uint64 // st_rdev, for devices
	Size int64  // in bytes, for regular files
	// Xattr gives the value of an xattr of the object itself, never of what a
	// link points to, and false when there is none. Nil means no xattrs. It is
	// called for directories and empty regular files only.
	Xattr func(name string) (string, bool)
	// InXDir says that the object is in a directory for which [XWhiteoutDir]
	// holds.
	InXDir bool
}

func (o *Object) xattr(name string) (string, bool) {
	if o.Xattr == nil {
		return "", false
	}
	return o.Xattr(name)
}

// Read tells what o means in d. Dialects overlap: one that is Trusted reads
// device nodes and, where the directory says so, empty files; so a tree need
// not be pure. Errors are those of [Parse], and only for dialects with AUFS
// names.
func (d Dialect) Read(o Object) (Mark, error) {
	switch o.Mode & modeType {
	case modeChar:
		if d.devices() && o.Rdev == 0 {
			return Mark{Kind: Remove, Target: o.Name}, nil
		}
	case modeDir:
		if d.opaqueDir(&o) {
			return Mark{Kind: Opaque}, nil
		}
		if !d.HasNames() {
			return Mark{}, nil
		}
		// Programs that read layers go by the name alone, whatever is called
		// .wh.x. But a directory that says Opaque says it of itself.
		kind, target, err := Parse(o.Name)
		if kind == Opaque {
			kind = Meta
		}
		return Mark{Kind: kind, Target: target}, err
	case modeReg:
		if ns := d.Namespace(); ns != "" && o.InXDir && o.Size == 0 {
			if _, ok := o.xattr(ns.Name(KeyWhiteout)); ok {
				return Mark{Kind: Remove, Target: o.Name}, nil
			}
		}
	}
	if d.HasNames() {
		kind, target, err := Parse(o.Name)
		return Mark{Kind: kind, Target: target}, err
	}
	return Mark{}, nil
}

func (d Dialect) opaqueDir(o *Object) bool {
	if ns := d.Namespace(); ns != "" {
		if v, ok := o.xattr(ns.Name(KeyOpaque)); ok && v == OpaqueYes {
			return true
		}
	}
	if d == FuseOverlay {
		for _, name := range []string{FuseOverlayOpaque, UserXattr.Name(KeyOpaque), TrustedXattr.Name(KeyOpaque)} {
			if v, ok := o.xattr(name); ok && v == OpaqueYes {
				return true
			}
		}
	}
	return false
}

// XWhiteoutDir tells from a directory's xattrs whether empty files in it can be
// whiteouts in d.
func (d Dialect) XWhiteoutDir(xattr func(name string) (string, bool)) bool {
	ns := d.Namespace()
	if ns == "" || xattr == nil {
		return false
	}
	v, ok := xattr(ns.Name(KeyOpaque))
	return ok && v == OpaqueXWhiteouts
}

// IsDevice tells whether st_mode and st_rdev are those of a whiteout device:
// a character device 0:0 (overlayfs.rst, "whiteouts and opaque directories").
func IsDevice(mode uint32, rdev uint64) bool { return mode&modeType == modeChar && rdev == 0 }

func (m Mark) String() string {
	if m.Kind == Remove {
		return fmt.Sprintf("remove %q", m.Target)
	}
	return m.Kind.String()
}

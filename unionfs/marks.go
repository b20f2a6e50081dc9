package unionfs

import (
	"encoding/hex"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Namespaces of the marks that overlayfs keeps in extended attributes
// (Documentation/filesystems/overlayfs.rst).
const (
	trustedMarks = "trusted.overlay."
	userMarks    = "user.overlay."
	fuseMarks    = "user.fuseoverlayfs."
)

// Marks, below one of the namespaces.
const (
	markOpaque   = "opaque"   // directory: y: nothing shows from below; x: may hold xwhiteouts
	markRedirect = "redirect" // directory: merged with this path instead of its own
	markWhiteout = "whiteout" // empty regular file: a whiteout
	markMetacopy = "metacopy" // file without its data
	// markOrigin holds the st_ino of the file that was copied up, decimal, with
	// the identity of the lower it came from. It is our own: the kernel's
	// "origin" is a file handle, which a packed lower has none of.
	markOrigin = "cfs.origin"
)

// marks are what the attributes of one upper object say.
type marks struct {
	opaque   bool
	xwh      bool // the directory may hold xwhiteouts
	whiteout bool
	metacopy bool
	redirect string
	partial  string // value of markPartial
	origin   uint64
	nlink    string // value of markNlink
	override *overrideStat
}

// marksNamespace is where the marks of the upper directory are.
func (o *Options) marksNamespace() (string, error) {
	switch o.Xattr {
	case XattrTrusted:
		return trustedMarks, nil
	case XattrUser:
		return userMarks, nil
	}
	p, err := privileges()
	if p.caps && p.initUserns {
		return trustedMarks, err
	}
	return userMarks, err
}

// readMarks reads the marks of an object of the upper directory.
func (u *upperDir) readMarks(a at) (marks, error) {
	var m marks
	names, err := a.listxattr()
	if err != nil || len(names) == 0 {
		return m, err
	}
	for _, name := range names {
		if name == overrideXattr {
			if !u.override {
				continue
			}
			v, err := a.getxattr(name)
			if err != nil {
				return m, err
			}
			o, err := parseOverride(string(v))
			if err != nil {
				return m, err
			}
			m.override = &o
			continue
		}
		mark, ok := strings.CutPrefix(name, u.marks)
		if !ok {
			continue
		}
		switch mark {
		case markWhiteout:
			m.whiteout = true
		case markMetacopy:
			m.metacopy = true
		case markOpaque, markRedirect, markOrigin, markPartial, markNlink:
			v, err := a.getxattr(name)
			if isErrno(err, unix.ENODATA) {
				continue
			}
			if err != nil {
				return m, err
			}
			switch mark {
			case markOpaque:
				m.opaque, m.xwh = string(v) == "y", string(v) == "x"
			case markRedirect:
				m.redirect = string(v)
			case markPartial:
				m.partial = string(v)
			case markNlink:
				m.nlink = string(v)
			case markOrigin:
				m.origin = u.parseOrigin(string(v))
			}
		}
	}
	return m, nil
}

// origin is the value of markOrigin for a file that is shown with ino.
func (u *upperDir) origin(ino uint64) []byte {
	return []byte(strconv.FormatUint(ino, 10) + ":" + u.lowerID)
}

// parseOrigin returns the number in a markOrigin, 0 when it belongs to another lower.
func (u *upperDir) parseOrigin(s string) uint64 {
	num, id, _ := strings.Cut(s, ":")
	if id != u.lowerID {
		return 0
	}
	ino, err := strconv.ParseUint(num, 10, 64)
	if err != nil || ino >= upperTag {
		return 0
	}
	return ino
}

func shortHash(sum []byte) string { return hex.EncodeToString(sum[:6]) }

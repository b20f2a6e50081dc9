package unionfs

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// lowerMark is what the attributes of a layer's object say about what is below.
type lowerMark struct {
	opaque   bool
	xwh      bool // a directory that may hold xwhiteouts
	whiteout bool
	partial  bool   // a partial file
	anyones  bool   // metacopy or partial are marks that the file's owner may set
	metacopy bool   // a file without (all) its data
	redirect string // absolute from the layers' roots, or a name beside this one
	bound    int64  // partial file: below it, holes are read from further below; 0: no partial file
}

const (
	// metacopyHeader is the least size of a metacopy's value that isn't empty:
	// version, length, flags, digest algorithm (fs/overlayfs/overlayfs.h,
	// struct ovl_metacopy).
	metacopyHeader = 4
)

// readLowerMark reads the marks of what p names, in any namespace. What this
// process may not read says nothing. EIO: marks that cannot be followed.
func readLowerMark(p at) (m lowerMark, err error) {
	return lowerMarks(p, p.listxattrInto)
}

// readFileMark is readLowerMark for a descriptor that is not O_PATH.
func readFileMark(fd int) (lowerMark, error) {
	return lowerMarks(at{fd, ""}, func(b []byte) (int, error) { return unix.Flistxattr(fd, b) })
}

func lowerMarks(p at, list func([]byte) (int, error)) (m lowerMark, err error) {
	var small [512]byte
	buf := small[:]
	n, err := list(buf)
	for err == unix.ERANGE {
		buf = make([]byte, 4*len(buf))
		n, err = list(buf)
	}
	if isErrno(err, unix.EACCES, unix.EPERM, unix.EOPNOTSUPP) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	for len(buf[:n]) > 0 {
		raw, rest, _ := bytes.Cut(buf[:n], []byte{0})
		buf, n = rest, len(rest)
		if !bytes.HasPrefix(raw, []byte("trusted.")) && !bytes.HasPrefix(raw, []byte("user.")) {
			continue
		}
		if err := m.add(p, string(raw)); err != nil {
			return m, err
		}
	}
	return m, m.check()
}

// add takes in one attribute.
func (m *lowerMark) add(p at, name string) error {
	mark, ok := strings.CutPrefix(name, trustedMarks)
	anyones := !ok
	if !ok {
		mark, ok = strings.CutPrefix(name, userMarks)
	}
	if name == whiteout.FuseOverlayOpaque {
		mark, ok = markOpaque, true
	}
	if !ok {
		return nil
	}
	switch mark {
	case markOpaque, markWhiteout, markRedirect, markMetacopy, markPartial:
	default:
		return nil
	}
	v, err := p.getxattr(name)
	if err != nil {
		return nil
	}
	switch mark {
	case markOpaque:
		m.opaque = m.opaque || string(v) == whiteout.OpaqueYes
		m.xwh = m.xwh || string(v) == whiteout.OpaqueXWhiteouts
	case markWhiteout:
		m.whiteout = true
	case markRedirect:
		m.redirect = string(v)
	case markMetacopy:
		m.metacopy = true
		m.anyones = m.anyones || anyones
		// A digest (fs-verity) is not asked for, as with verity=off.
		if len(v) > 0 && (len(v) < metacopyHeader || v[0] != 0 || int(v[1]) != len(v)) {
			return fmt.Errorf("metacopy of an unknown form: %w", unix.EIO)
		}
	case markPartial:
		m.partial = true
		m.anyones = m.anyones || anyones
		if m.bound, err = strconv.ParseInt(string(v), 10, 64); err != nil || m.bound < 0 {
			return fmt.Errorf("%s %q: %w", markPartial, v, unix.EIO)
		}
	}
	return nil
}

// check refuses redirects that the kernel refuses (ovl_get_redirect_xattr).
func (m *lowerMark) check() error {
	if m.partial && m.bound == 0 { // nothing of it is below any more
		m.metacopy, m.redirect = false, ""
	}
	to := m.redirect
	if m.bound > 0 {
		to = strings.TrimPrefix(to, poison)
		m.redirect = to
	}
	if to == "" {
		return nil
	}
	abs := strings.HasPrefix(to, "/")
	if !abs && strings.Contains(to, "/") {
		return fmt.Errorf("redirect %q: %w", to, unix.EIO)
	}
	for i, part := range strings.Split(to, "/") {
		if abs && i == 0 {
			continue
		}
		if part == "" || part == "." || part == ".." || strings.IndexByte(part, 0) >= 0 {
			return fmt.Errorf("redirect %q: %w", to, unix.EIO)
		}
	}
	return nil
}

package unionfs

import (
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// LayerXattr is answered for every file, and never listed: the diff ID of the
// layer that a file came from (its directory, for plain lowers), or "upper".
const LayerXattr = "user.cfs.layer"

// GetXAttr implements [fuse.RawFileSystem].
func (f *FS) GetXAttr(_ <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	f.count(opGetxattr)
	n := f.node(h.NodeId)
	if n == nil {
		return 0, fuse.Status(unix.ESTALE)
	}
	v, err := f.getXattr(n, name)
	if err != nil {
		return 0, status(err)
	}
	if len(dest) < len(v) {
		return uint32(len(v)), fuse.ERANGE
	}
	return uint32(copy(dest, v)), fuse.OK
}

func (f *FS) getXattr(n *node, name string) ([]byte, error) {
	if name == LayerXattr {
		layer := "upper"
		if !n.hasUpper() {
			layer = f.lower.layer(n.lower)
		}
		if layer == "" {
			return nil, unix.ENODATA
		}
		return []byte(layer), nil
	}
	stored, err := f.storedXattr(name)
	if err != nil {
		if hiddenXattr(name) {
			err = unix.ENODATA
		}
		return nil, err
	}
	if name == selinuxXattr {
		return nil, unix.EOPNOTSUPP
	}
	if up := n.up.Load(); up != nil && up.bare.Load() && (name == capabilityXattr || isACL(name)) {
		return nil, unix.ENODATA // asked for at the first write and every chown of a new file
	}
	if isACL(name) {
		return f.getACL(n, name)
	}
	if !n.hasUpper() {
		if !f.lower.escaped() {
			stored = name
		}
		return f.lower.getxattr(n.lower, stored)
	}
	var v []byte
	err = f.withUpper(n, func(p at) (err error) {
		v, err = p.getxattr(stored)
		if err != nil && f.upper.override && encodable(stored) {
			if w, werr := p.getxattr(encodedXattr + stored); werr == nil {
				v, err = w, nil
			} else if isErrno(err, unix.EPERM) {
				err = unix.ENODATA
			}
		}
		return err
	})
	return v, err
}

// selinuxXattr is refused for every file: programs then ask once a mount, and
// no kernel takes a label from a FUSE server's answer.
const selinuxXattr = "security.selinux"

// getACL is getXattr for ACLs. ENODATA where the filesystem below has none: by
// another error the kernel would refuse everybody but the owner.
func (f *FS) getACL(n *node, name string) (v []byte, err error) {
	switch up := n.up.Load(); {
	case up == nil:
		v, err = f.lower.getxattr(n.lower, name)
	case up.override.Load():
		return nil, unix.ENODATA
	default:
		err = f.withUpper(n, func(p at) (err error) { v, err = p.getxattr(name); return err })
	}
	if isErrno(err, unix.EOPNOTSUPP) {
		err = unix.ENODATA
	}
	if err != nil {
		return nil, err
	}
	return f.showACL(v)
}

// ListXAttr implements [fuse.RawFileSystem].
func (f *FS) ListXAttr(_ <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	f.count(opListxattr)
	n := f.node(h.NodeId)
	if n == nil {
		return 0, fuse.Status(unix.ESTALE)
	}
	var names []string
	var err error
	show := f.shownXattr
	if !n.hasUpper() {
		if !f.lower.escaped() {
			show = func(name string) (string, bool) { _, err := f.storedXattr(name); return name, err == nil }
		}
		err = f.lower.listxattr(n.lower, func(name string) { names = append(names, name) })
	} else {
		err = f.withUpper(n, func(p at) (err error) { names, err = p.listxattr(); return err })
	}
	if err != nil {
		return 0, status(err)
	}
	up := n.up.Load()
	override := up != nil && up.override.Load()
	var list []byte
	for _, name := range names {
		if inner, ok := strings.CutPrefix(name, encodedXattr); ok && encodable(inner) {
			name = inner
		}
		if name, ok := show(name); ok && name != selinuxXattr && !(override && isACL(name)) {
			list = append(append(list, name...), 0)
		}
	}
	if len(dest) < len(list) {
		return uint32(len(list)), fuse.ERANGE
	}
	return uint32(copy(dest, list)), fuse.OK
}

package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// xattrChange is a setxattr(2) or removexattr(2).
type xattrChange struct {
	name   string // as shown
	stored string // as in the upper directory
	value  []byte
	flags  int // XATTR_CREATE, XATTR_REPLACE
	remove bool
	// killSetgid: setgid goes with an ACL that is set (FUSE_SETXATTR_ACL_KILL_SGID).
	killSetgid bool
}

// SetXAttr implements [fuse.RawFileSystem].
func (f *FS) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	f.count(opSetxattr)
	kill := f.killSetgid && in.SetXAttrFlags&fuse.SETXATTR_ACL_KILL_SGID != 0
	return status(f.changeXattr(in.NodeId, xattrChange{name: name, value: data, flags: int(in.Flags), killSetgid: kill}))
}

// RemoveXAttr implements [fuse.RawFileSystem].
func (f *FS) RemoveXAttr(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	f.count(opRemovexattr)
	return status(f.changeXattr(h.NodeId, xattrChange{name: name, remove: true}))
}

// changeXattr does what c asks for. What can be refused before the file is
// copied up is: a call that fails leaves the upper directory as it was.
func (f *FS) changeXattr(id uint64, c xattrChange) error {
	n := f.node(id)
	if n == nil {
		return unix.ESTALE
	}
	if f.upper == nil {
		return unix.EROFS
	}
	var err error
	if c.stored, err = f.storedXattr(c.name); err != nil {
		return err
	}
	if c.name == selinuxXattr {
		return unix.EOPNOTSUPP
	}
	if isACL(c.name) && !c.remove {
		if c.value, err = f.storeACL(c.value); err != nil {
			return err
		}
	}
	if done, err := f.checkChange(n, &c); done || err != nil {
		return err
	}
	if err := f.copyUp(n, intact); err != nil {
		return err
	}
	n.up.Load().bare.Store(false)
	err = f.withUpper(n, func(p at) error {
		switch {
		case c.remove:
			err := p.removexattr(c.stored)
			if err != nil && f.upper.override && encodable(c.stored) {
				err = p.removexattr(encodedXattr + c.stored)
			}
			return err
		case isACL(c.name):
			return f.setACL(n, p, c.name, c.value, c.killSetgid)
		}
		return f.upper.setXattr(p, c.stored, c.value, c.flags)
	})
	n.up.Load().noCaps.Store(false) // there may be some again
	n.disinherit()
	return err
}

// checkChange finds what c fails for, and whether there is nothing to do. Once
// the file is in the upper directory the filesystem there decides, but for the
// flags of ACLs: those the kernel doesn't hand on.
func (f *FS) checkChange(n *node, c *xattrChange) (done bool, err error) {
	acl := isACL(c.name)
	if n.hasUpper() && !acl {
		return false, nil
	}
	if acl && !c.remove && f.upper.always {
		return false, unix.EOPNOTSUPP // see setACL
	}
	// An attribute of a kind that the filesystem doesn't know at all.
	if _, err := (at{f.upper.root, ""}).getxattr(c.stored); err == unix.EOPNOTSUPP && !(f.upper.override && encodable(c.stored)) {
		return false, err
	}
	if !c.remove && c.flags&(unix.XATTR_CREATE|unix.XATTR_REPLACE) == 0 {
		return false, nil
	}
	_, err = f.getXattr(n, c.name)
	switch missing := err == unix.ENODATA; {
	case err != nil && !missing:
		return false, err
	case missing && acl && c.remove:
		return true, nil // as filesystems have it: the mode is all the ACL there is
	case missing && (c.remove || c.flags&unix.XATTR_REPLACE != 0):
		return false, unix.ENODATA
	case !missing && c.flags&unix.XATTR_CREATE != 0:
		return false, unix.EEXIST
	}
	return false, nil
}

package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A heritage is what a directory hands on to what is made in it. It is looked
// up once and kept in the directory's state until its mode, group or ACL changes.
type heritage struct {
	setgid bool
	gid    uint32 // as shown
	def    []byte // the default ACL as shown; nil: none
}

// heritage of directory p. Requires p.dir.mu.
func (f *FS) heritage(p *node) (*heritage, error) {
	if h := p.dir.heir; h != nil {
		return h, nil
	}
	var a fuse.Attr
	if err := f.attr(p, &a); err != nil {
		return nil, err
	}
	h := &heritage{setgid: a.Mode&unix.S_ISGID != 0, gid: a.Gid}
	if !f.noACL() {
		v, err := f.getXattr(p, aclDefault)
		if err != nil && !isErrno(err, unix.ENODATA, unix.EOPNOTSUPP) {
			return nil, err
		}
		if len(v) > 0 {
			h.def = v
		}
	}
	if p.hasUpper() { // else its copy may have to do without the ACL
		p.dir.heir = h
	}
	return h, nil
}

// disinherit forgets the heritage of a directory, after a change to it.
func (n *node) disinherit() {
	if n.isDir() {
		n.dir.mu.Lock()
		n.dir.heir = nil
		n.dir.mu.Unlock()
	}
}

// inherit fills in the owner of what the caller makes in directory p, and what
// it has of p: its group where p is setgid, and of its default ACL; without
// one the caller's umask counts. Requires p.dir.mu.
func (f *FS) inherit(p *node, caller *fuse.InHeader, s *spec) error {
	from, err := f.heritage(p)
	if err != nil {
		return err
	}
	gid := caller.Gid
	if from.setgid {
		gid = from.gid
		if s.typ == unix.S_IFDIR {
			s.perm |= unix.S_ISGID
		}
	}
	s.uid, s.gid = f.uids.out(caller.Uid), f.gids.out(gid)
	if s.typ == unix.S_IFLNK {
		return nil
	}
	if from.def == nil {
		s.perm &^= s.umask
		return nil
	}
	stored, err := f.storeACL(from.def)
	if err != nil {
		return err
	}
	def, err := parseACL(stored)
	if err != nil {
		return err
	}
	acl, perm := createACL(def, s.perm)
	s.perm = perm
	if acl != nil {
		s.access = formatACL(acl)
	}
	if s.typ == unix.S_IFDIR {
		s.def = stored
	}
	return nil
}

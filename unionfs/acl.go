package unionfs

import (
	"encoding/binary"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// The attributes that POSIX ACLs are read and set by (acl(5)).
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// Tags of an ACL's entries (include/uapi/linux/posix_acl.h).
const (
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
)

// aclVersion begins the attribute's value (posix_acl_xattr.h); an entry is a
// tag and permissions of two bytes each and an id of four, little endian.
const aclVersion = 2

// aclEntry is one entry of an ACL.
type aclEntry struct {
	tag, perm uint16
	id        uint32 // aclUser, aclGroup
}

// isACL tells whether an attribute is an ACL.
func isACL(name string) bool { return name == aclAccess || name == aclDefault }

// parseACL reads an ACL from an attribute's value: EINVAL if it is none, and
// EOPNOTSUPP for another version.
func parseACL(b []byte) ([]aclEntry, error) {
	if len(b) < 4 || len(b)%8 != 4 {
		return nil, unix.EINVAL
	}
	if binary.LittleEndian.Uint32(b) != aclVersion {
		return nil, unix.EOPNOTSUPP
	}
	acl := make([]aclEntry, 0, len(b)/8)
	for b = b[4:]; len(b) > 0; b = b[8:] {
		acl = append(acl, aclEntry{
			binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint32(b[4:]),
		})
	}
	return acl, nil
}

// formatACL is the value of an attribute that parseACL reads.
func formatACL(acl []aclEntry) []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+8*len(acl)), aclVersion)
	for _, e := range acl {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// createACL turns the default ACL of a directory into the access ACL of an
// object made in it with mode perm, whose bits are returned (acl(5), "OBJECT
// CREATION AND DEFAULT ACLs"; posix_acl_create_masq in fs/posix_acl.c). The ACL
// is nil when the bits say all of it.
func createACL(def []aclEntry, perm uint32) ([]aclEntry, uint32) {
	acl := append([]aclEntry(nil), def...)
	extended := false
	var class *aclEntry // which entry the group bits are: the mask, or the owning group
	limit := func(e *aclEntry, shift uint) {
		e.perm &= uint16(perm >> shift & 7)
		perm = perm&^(7<<shift) | uint32(e.perm)<<shift
	}
	for i := range acl {
		switch e := &acl[i]; e.tag {
		case aclUserObj:
			limit(e, 6)
		case aclOther:
			limit(e, 0)
		case aclGroupObj:
			if class == nil {
				class = e
			}
		case aclMask:
			class, extended = e, true
		default:
			extended = true
		}
	}
	if class != nil {
		limit(class, 3)
	}
	if !extended {
		return nil, perm
	}
	return acl, perm
}

// noACL tells whether ACLs are turned off. Squashed ids leave nobody that an
// entry could name.
func (f *FS) noACL() bool { return f.opts.NoACL || f.uids.squash >= 0 || f.gids.squash >= 0 }

// mapACL translates the ids of an ACL's value. Entries whose id has none are
// left out when strict is false, else they are EINVAL.
func mapACL(v []byte, uid, gid func(uint32) (uint32, bool), strict bool) ([]byte, error) {
	acl, err := parseACL(v)
	if err != nil {
		return nil, err
	}
	out := acl[:0]
	for _, e := range acl {
		ok := true
		switch e.tag {
		case aclUser:
			e.id, ok = uid(e.id)
		case aclGroup:
			e.id, ok = gid(e.id)
		}
		if !ok && strict {
			return nil, unix.EINVAL
		}
		if ok {
			out = append(out, e)
		}
	}
	return formatACL(out), nil
}

// showACL turns an ACL on disk to what is shown.
func (f *FS) showACL(v []byte) ([]byte, error) {
	if f.uids.identity() && f.gids.identity() {
		return v, nil
	}
	return mapACL(v, f.uids.known, f.gids.known, false)
}

// storeACL turns an ACL that is shown to what is written to disk.
func (f *FS) storeACL(v []byte) ([]byte, error) {
	return mapACL(v, f.uids.exactly, f.gids.exactly, true)
}

// setACL sets an ACL, its ids as on disk, of the object at p. killSetgid takes
// setgid away with it: the caller is not of the file's group.
func (f *FS) setACL(n *node, p at, name string, v []byte, killSetgid bool) error {
	if n.up.Load().override.Load() {
		return unix.EOPNOTSUPP // its mode isn't the object's own
	}
	if err := p.setxattr(name, v, 0); err != nil || !killSetgid || name != aclAccess {
		return err
	}
	var st unix.Stat_t
	if err := p.stat(&st); err != nil || st.Mode&unix.S_ISGID == 0 {
		return err
	}
	return p.chmod(st.Mode & 07777 &^ unix.S_ISGID)
}

// setInherited sets the ACLs of an object just made at p.
func (s *spec) setInherited(p at) error {
	if s.access != nil {
		if err := p.setxattr(aclAccess, s.access, 0); err != nil {
			return err
		}
	}
	if s.def != nil {
		return p.setxattr(aclDefault, s.def, 0)
	}
	return nil
}

// withoutACL is the mode for an object that can't have the access ACL v, whose
// mask the group bits of perm are. Nobody gets more than before: not the owning
// group, nor whoever an entry names, who then counts as one of the group or of
// the others.
func withoutACL(perm uint32, v []byte) uint32 {
	acl, err := parseACL(v)
	if err != nil {
		return perm &^ 0o077
	}
	mask := perm >> 3 & 7
	var group uint32
	named, users := uint32(7), uint32(7) // what every entry with a name has; every user's
	for _, e := range acl {
		switch e.tag {
		case aclGroupObj:
			group = uint32(e.perm)
		case aclUser:
			users &= uint32(e.perm) & mask
			named &= users
		case aclGroup:
			named &= uint32(e.perm) & mask
		}
	}
	return perm&^0o077 | (group&mask&users)<<3 | perm&7&named
}

// aclCaps are what the kernel is asked for so that it keeps ACLs and leaves the
// umask to the server.
const aclCaps = fuse.CAP_POSIX_ACL | fuse.CAP_DONT_MASK

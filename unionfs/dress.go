package unionfs

import (
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A spec is an object to be made in the upper or work directory, ids as on disk.
type spec struct {
	typ, perm, rdev uint32
	uid, gid        uint32
	target          string // symlinks
	umask           uint32 // of the caller, see FS.inherit
	access, def     []byte // ACLs, as on disk; nil: none
}

// specOf is the spec of an object with these attributes, ids as on disk.
func specOf(a *fuse.Attr) spec {
	return spec{typ: a.Mode & unix.S_IFMT, perm: a.Mode & 07777, rdev: a.Rdev, uid: a.Uid, gid: a.Gid}
}

// make creates the object at p, which must not exist, with its owner and mode: in
// one step where it is to be this process's own, so that a killed server leaves it
// as it should be or not at all. It tells whether owner and mode went to
// override_stat. On an error nothing is left.
func (u *upperDir) make(p at, s spec) (override bool, err error) {
	m, err := u.bear(p, s)
	m.close()
	return m.override, err
}

// made is an object just created.
type made struct {
	override bool        // owner and mode are in override_stat
	file     *handle     // of a regular file that has no override, to read and write; else nil
	st       unix.Stat_t // what a stat says, or zero where that isn't known
}

func (m made) close() {
	if m.file != nil {
		m.file.put()
	}
}

// bear is make for who goes on with the object.
func (u *upperDir) bear(p at, s spec) (made, error) {
	standIn := func() (made, error) { return made{override: true}, u.makeStandIn(p, s) }
	if u.always && !attributed(s.typ) {
		return standIn()
	}
	perm := ownerBits(s.typ)
	if s.uid == u.euid && s.gid == u.egid && s.perm&perm == perm && s.access == nil {
		perm = s.perm & 0o777
	}
	var m made
	var err error
	switch s.typ {
	case unix.S_IFDIR:
		err = unix.Mkdirat(p.dirfd, p.name, perm)
	case unix.S_IFLNK:
		err = unix.Symlinkat(s.target, p.dirfd, p.name)
	case unix.S_IFREG:
		m.file, err = u.bearFile(p, perm)
	default:
		err = unix.Mknodat(p.dirfd, p.name, s.typ|perm, int(s.rdev))
	}
	if u.override && (s.typ == unix.S_IFCHR || s.typ == unix.S_IFBLK) && isErrno(err, unix.EPERM) {
		return standIn()
	}
	if err != nil {
		return m, err
	}
	m.override, err = u.dress(p, s, &m.st)
	if m.override || s.access != nil || s.def != nil {
		m.st = unix.Stat_t{}
	}
	if err == nil && m.override && s.access != nil {
		s.perm = withoutACL(s.perm, s.access)
		err = u.writeOverride(p, s)
	} else if err == nil && !m.override {
		err = s.setInherited(p)
	}
	if err != nil || m.override {
		m.close()
		m.file = nil
	}
	if err != nil {
		u.discard(p)
		if err == errStandIn {
			return standIn()
		}
	}
	return m, err
}

// bearFile creates a regular file and keeps it open.
func (u *upperDir) bearFile(p at, perm uint32) (*handle, error) {
	var fd int
	err := eintr(func() (err error) {
		fd, err = unix.Openat(p.dirfd, p.name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return newHandle(fd, true), nil
}

// attributed tells whether objects of a type may have user attributes
// (xattr(7)), and so an override_stat.
func attributed(typ uint32) bool { return typ == unix.S_IFREG || typ == unix.S_IFDIR }

// errStandIn: the object has to be kept as a regular file. It never leaves the
// methods of upperDir.
const errStandIn = unix.ENOTSUP

// makeStandIn creates the regular file that stands for a special one, with its
// override_stat.
func (u *upperDir) makeStandIn(p at, s spec) error {
	err := u.makePlain(p, s)
	if err == nil {
		if err = u.writeOverride(p, s); err != nil {
			u.discard(p)
		}
	}
	return err
}

func (u *upperDir) makePlain(p at, s spec) error {
	fd, err := unix.Openat(p.dirfd, p.name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = pwriteFull(fd, []byte(s.target), 0)
	return err
}

// dress gives a fresh object its owner and mode, natively where that is
// possible and wanted, else in override_stat; errStandIn if it can't carry one.
// In st is what a stat says then, or zero if something had to be changed.
func (u *upperDir) dress(p at, s spec, st *unix.Stat_t) (override bool, err error) {
	if !u.always {
		if err := p.stat(st); err != nil {
			return false, err
		}
		if err = u.dressNative(p, s, st); err == nil || !u.override || !refused(err) {
			return false, err
		}
	}
	if !attributed(s.typ) {
		return false, errStandIn
	}
	return true, u.writeOverride(p, s)
}

// refused tells whether an owner or mode can't be set by this process.
func refused(err error) bool {
	return isErrno(err, unix.EPERM, unix.EINVAL, unix.EACCES, unix.EOVERFLOW)
}

func (u *upperDir) dressNative(p at, s spec, st *unix.Stat_t) error {
	if !u.caps && attributed(s.typ) && s.perm&ownerBits(s.typ) != ownerBits(s.typ) {
		return unix.EPERM // this process would lock itself out
	}
	was := *st
	if was.Uid != s.uid || was.Gid != s.gid {
		*st = unix.Stat_t{}
		if err := p.chown(int(s.uid), int(s.gid)); err != nil {
			return err
		}
	}
	if s.typ != unix.S_IFLNK && (was.Mode&07777 != s.perm || s.perm&06000 != 0) {
		*st = unix.Stat_t{}
		return p.chmod(s.perm)
	}
	return nil
}

// ownerBits are what this process needs of a file's mode to work with it.
func ownerBits(typ uint32) uint32 {
	if typ == unix.S_IFDIR {
		return 0o700
	}
	return 0o600
}

// writeOverride records owner, mode and type, and makes the object's real mode
// one that this process can work with. An ACL, which nobody would check there,
// goes, and narrows the mode.
func (u *upperDir) writeOverride(p at, s spec) error {
	acl, aclErr := p.getxattr(aclAccess)
	if aclErr == nil {
		s.perm = withoutACL(s.perm, acl)
	}
	o := overrideStat{uid: s.uid, gid: s.gid, perm: s.perm, typ: s.typ, rdev: s.rdev}
	if err := p.setxattr(overrideXattr, []byte(o.String()), 0); err != nil {
		return err
	}
	if err := p.chmod(s.perm&0o777 | ownerBits(s.typ)); err != nil || aclErr != nil && s.typ != unix.S_IFDIR {
		return err
	}
	for _, name := range []string{aclAccess, aclDefault} {
		if err := p.removexattr(name); err != nil && !isErrno(err, unix.ENODATA, unix.EOPNOTSUPP) {
			return err
		}
	}
	return nil
}

// encodedXattr is the prefix under which attributes are kept that the
// filesystem refuses this process, as fuse-overlayfs does.
const encodedXattr = "user.containers.override_"

// setXattr sets an attribute, under another name where its own is not allowed.
func (u *upperDir) setXattr(p at, name string, value []byte, flags int) error {
	err := p.setxattr(name, value, flags)
	if u.override && isErrno(err, unix.EPERM, unix.EOPNOTSUPP) && encodable(name) {
		return p.setxattr(encodedXattr+name, value, flags)
	}
	return err
}

// encodable tells whether an attribute may be kept under encodedXattr.
func encodable(name string) bool {
	return (strings.HasPrefix(name, "security.") || strings.HasPrefix(name, "trusted.")) &&
		len(encodedXattr)+len(name) <= 255
}

// dressRoot gives the upper directory itself what the lower's root has: an upper
// that is new hides it otherwise, as the root is always merged.
func (f *FS) dressRoot() error {
	var a fuse.Attr
	if err := f.lower.attr(f.root.lower, &a); err != nil {
		return err
	}
	p := at{f.upper.root, ""}
	s := specOf(&a)
	override, err := f.upper.dress(p, s, new(unix.Stat_t))
	if err != nil {
		return err
	}
	if err := f.copyXattrs(f.root, p, s, override); err != nil {
		return err
	}
	return p.utimens(unix.Timespec{Sec: int64(a.Atime), Nsec: int64(a.Atimensec)}, unix.Timespec{Sec: int64(a.Mtime), Nsec: int64(a.Mtimensec)})
}

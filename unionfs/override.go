package unionfs

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// overrideXattr keeps an owner, a mode and a type that the filesystem under the
// upper directory cannot hold for this process. The format is that of
// containers/storage and fuse-overlayfs:
//
//	uid:gid:mode[:type]
//
// with the mode in octal (07777 only) and the type one of file, dir, symlink,
// pipe, socket, block-MAJOR-MINOR, char-MAJOR-MINOR. Whatever is not the type
// of the object itself is kept as a regular file; a symlink's target is its
// content.
const overrideXattr = "user.containers.override_stat"

// overrideStat is a parsed override_stat.
type overrideStat struct {
	uid, gid uint32
	perm     uint32 // 07777
	typ      uint32 // S_IFMT bits; 0: that of the object
	rdev     uint32 // devices
}

func (o overrideStat) String() string {
	s := fmt.Sprintf("%d:%d:%04o", o.uid, o.gid, o.perm)
	dev := func(kind string) string {
		return fmt.Sprintf(":%s-%d-%d", kind, unix.Major(uint64(o.rdev)), unix.Minor(uint64(o.rdev)))
	}
	switch o.typ {
	case unix.S_IFREG:
		s += ":file"
	case unix.S_IFDIR:
		s += ":dir"
	case unix.S_IFLNK:
		s += ":symlink"
	case unix.S_IFIFO:
		s += ":pipe"
	case unix.S_IFSOCK:
		s += ":socket"
	case unix.S_IFBLK:
		s += dev("block")
	case unix.S_IFCHR:
		s += dev("char")
	}
	return s
}

// parseOverride parses an override_stat. A type it doesn't know makes it fail:
// to show something else than what was recorded would be worse than an error.
func parseOverride(s string) (overrideStat, error) {
	bad := fmt.Errorf("override_stat %q: want uid:gid:mode[:type]", s)
	f := strings.Split(s, ":")
	if len(f) != 3 && len(f) != 4 {
		return overrideStat{}, bad
	}
	var o overrideStat
	for i, dst := range []*uint32{&o.uid, &o.gid, &o.perm} {
		base := 10
		if i == 2 {
			base = 8
		}
		v, err := strconv.ParseUint(f[i], base, 32)
		if err != nil {
			return overrideStat{}, bad
		}
		*dst = uint32(v)
	}
	if typ := o.perm &^ 07777; typ != 0 && typ != unix.S_IFREG && typ != unix.S_IFDIR {
		return overrideStat{}, bad
	}
	// fuse-overlayfs writes the whole mode that a file was made with; the type
	// in it is that of the object, which says so itself.
	o.perm &= 07777
	if len(f) == 3 {
		return o, nil
	}
	kind, dev, hasDev := strings.Cut(f[3], "-")
	switch kind {
	case "file":
		o.typ = unix.S_IFREG
	case "dir":
		o.typ = unix.S_IFDIR
	case "symlink":
		o.typ = unix.S_IFLNK
	case "pipe":
		o.typ = unix.S_IFIFO
	case "socket":
		o.typ = unix.S_IFSOCK
	case "block":
		o.typ = unix.S_IFBLK
	case "char":
		o.typ = unix.S_IFCHR
	default:
		return overrideStat{}, bad
	}
	isDev := o.typ == unix.S_IFBLK || o.typ == unix.S_IFCHR
	if isDev != hasDev {
		return overrideStat{}, bad
	}
	if isDev {
		maj, min, ok := strings.Cut(dev, "-")
		ma, err1 := strconv.ParseUint(maj, 10, 12)
		mi, err2 := strconv.ParseUint(min, 10, 20)
		if !ok || err1 != nil || err2 != nil {
			return overrideStat{}, bad
		}
		o.rdev = uint32(unix.Mkdev(uint32(ma), uint32(mi)))
	}
	return o, nil
}

// Other names of override_stat: fuse-overlayfs's own, of ordinary users and of
// the host's root (its utils.h).
const (
	fuseOverrideXattr       = "user.fuseoverlayfs.override_stat"
	privilegedOverrideXattr = "security.fuseoverlayfs.override_stat"
)

// overrideName tells under which name the objects of a layer keep override_stat:
// that of its root, as fuse-overlayfs decides it, so that a layer without costs
// nothing; always: also where the root has none. "": not at all.
func overrideName(root at, always bool) string {
	for _, name := range []string{privilegedOverrideXattr, overrideXattr, fuseOverrideXattr} {
		if _, err := root.getxattr(name); err == nil {
			return name
		}
	}
	if always {
		return overrideXattr
	}
	return ""
}

// readOverrideStat reads the override_stat of that name; nil: there is none.
func readOverrideStat(p at, name string) (*overrideStat, error) {
	v, err := p.getxattr(name)
	if isErrno(err, unix.ENODATA, unix.EOPNOTSUPP, unix.EACCES, unix.EPERM) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o, err := parseOverride(string(v))
	return &o, err
}

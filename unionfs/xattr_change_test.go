package unionfs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// someACL is an ACL that says more than a mode can.
var someACL = formatACL([]aclEntry{
	{aclUserObj, 7, ^uint32(0)}, {aclUser, 7, 1234}, {aclGroupObj, 5, ^uint32(0)}, {aclMask, 7, ^uint32(0)}, {aclOther, 1, ^uint32(0)},
})

// TestFailedXattrCopiesNothing: a call that fails leaves the upper directory empty.
func TestFailedXattrCopiesNothing(t *testing.T) {
	needMount(t)
	dir := scratch(t)
	write(t, dir+"/l/f", "data")
	must(t, unix.Setxattr(dir+"/l/f", "user.have", []byte("v"), 0))
	mkdirs(t, dir+"/u", dir+"/w")
	mnt, srv := mount(t, Options{LowerDirs: []string{dir + "/l"}, Upper: dir + "/u", Work: dir + "/w"}, MountOptions{AllowOther: true})
	p := mnt + "/f"
	// The kernel keeps the flags of ACLs to itself, so these calls are made without it.
	var a fuse.Attr
	n, err := srv.FS().lookup(srv.FS().root, "f", &a)
	must(t, err)
	defer srv.FS().unref(n, 1)
	direct := func(name string, v []byte, flags uint32) error {
		st := srv.FS().SetXAttr(nil, &fuse.SetXAttrIn{InHeader: fuse.InHeader{NodeId: n.id}, Size: uint32(len(v)), Flags: flags}, name, v)
		if st == fuse.OK {
			return nil
		}
		return unix.Errno(st)
	}
	for name, tc := range map[string]struct {
		call func() error
		want error
	}{
		"remove what isn't there": {func() error { return unix.Removexattr(p, "user.none") }, unix.ENODATA},
		"replace":                 {func() error { return unix.Setxattr(p, "user.none", nil, unix.XATTR_REPLACE) }, unix.ENODATA},
		"create":                  {func() error { return unix.Setxattr(p, "user.have", nil, unix.XATTR_CREATE) }, unix.EEXIST},
		"label":                   {func() error { return direct(selinuxXattr, []byte("l"), 0) }, unix.EOPNOTSUPP},
		"unknown kind":            {func() error { return direct("weather.today", []byte("fair"), 0) }, unix.EOPNOTSUPP},
		"the union's own":         {func() error { return unix.Setxattr(p, "user.fuseoverlayfs.opaque", []byte("y"), 0) }, unix.EOPNOTSUPP},
		"no ACL":                  {func() error { return direct(aclAccess, []byte("nonsense"), 0) }, unix.EINVAL},
		"replace an ACL":          {func() error { return direct(aclAccess, someACL, unix.XATTR_REPLACE) }, unix.ENODATA},
		"remove no ACL":           {func() error { return unix.Removexattr(p, aclAccess) }, nil}, // as ext4 and tmpfs answer
	} {
		if err := tc.call(); err != tc.want {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if list, _ := os.ReadDir(dir + "/u"); len(list) > 0 {
			t.Fatalf("%s: in the upper directory is %v", name, list)
		}
	}
	must(t, unix.Setxattr(p, "user.none", []byte("1"), unix.XATTR_CREATE))
	must(t, unix.Setxattr(p, "user.have", []byte("2"), unix.XATTR_REPLACE))
	must(t, direct(aclAccess, someACL, unix.XATTR_CREATE))
	if err := direct(aclAccess, someACL, unix.XATTR_CREATE); err != unix.EEXIST {
		t.Errorf("create an ACL that is there: %v", err)
	}
	must(t, direct(aclAccess, someACL, unix.XATTR_REPLACE))
	must(t, unix.Removexattr(p, aclAccess))
	if err := unix.Removexattr(p, "user.gone"); err != unix.ENODATA {
		t.Errorf("remove what isn't there, of a copy: %v", err)
	}
	if got := xattrs(t, dir+"/u/f"); len(got) != 2 {
		t.Errorf("the copy has %v", got)
	}
}

// TestACLCantBeKept: a file whose ACL the upper directory can't keep is copied
// up with less, never with more.
func TestACLCantBeKept(t *testing.T) {
	needMount(t)
	for name, tc := range map[string]struct {
		upper    func(t *testing.T) string
		override OverrideMode
		act      func(p string) error
		want     uint32
	}{
		"a filesystem without ACLs": {upper: noACLs, act: func(p string) error { return os.WriteFile(p, []byte("more"), 0) }, want: 0o751},
		"override_stat": {upper: func(t *testing.T) string { return scratch(t) }, override: OverrideAlways,
			act: func(p string) error { return os.WriteFile(p, []byte("more"), 0) }, want: 0o751},
		"override_stat, then chmod": {upper: func(t *testing.T) string { return scratch(t) }, override: OverrideAlways,
			act: func(p string) error { return os.Chmod(p, 0o760) }, want: 0o760},
	} {
		t.Run(name, func(t *testing.T) {
			dir, up := scratch(t), tc.upper(t)
			for _, f := range []string{dir + "/l/d/f", dir + "/l/d"} {
				if f == dir+"/l/d/f" {
					write(t, f, "data")
				}
				must(t, unix.Setxattr(f, aclAccess, someACL, 0))
			}
			must(t, unix.Setxattr(dir+"/l/d", aclDefault, someACL, 0))
			mkdirs(t, up+"/u", up+"/w")
			mnt, _ := mount(t, Options{LowerDirs: []string{dir + "/l"}, Upper: up + "/u", Work: up + "/w", Override: tc.override}, MountOptions{AllowOther: true})
			p := mnt + "/d/f"
			if got := stat(t, p).Mode & 0o777; got != 0o771 {
				t.Fatalf("below: mode %o", got)
			}
			must(t, tc.act(p))
			must(t, unix.Utimes(p, nil)) // the kernel asks again
			if got := stat(t, p).Mode & 0o777; got != tc.want {
				t.Errorf("mode %o, want %o", got, tc.want)
			}
			for _, name := range []string{aclAccess, aclDefault} {
				for _, p := range []string{p, mnt + "/d", up + "/u/d", up + "/u/d/f"} {
					if _, err := unix.Getxattr(p, name, make([]byte, 256)); err == nil && (name == aclAccess || p != mnt+"/d") {
						t.Errorf("%s has %s", p, name)
					}
				}
			}
		})
	}
}

// noACLs is a directory on a filesystem that keeps attributes, but no ACLs:
// another union.
func noACLs(t *testing.T) string {
	dir := scratch(t)
	mkdirs(t, dir+"/l", dir+"/u", dir+"/w")
	mnt, _ := mount(t, Options{LowerDirs: []string{dir + "/l"}, Upper: dir + "/u", Work: dir + "/w", NoACL: true}, MountOptions{AllowOther: true})
	if err := unix.Setxattr(mnt, aclAccess, someACL, 0); err != unix.EOPNOTSUPP {
		t.Fatalf("a union without ACLs: setxattr: %v", err)
	}
	return mnt
}

// TestACLToOverride: an object that has an ACL of its own when its owner and
// mode go to override_stat loses the ACL, and gets narrower.
func TestACLToOverride(t *testing.T) {
	dir := scratch(t)
	fd, err := openDirPath(unix.AT_FDCWD, dir)
	must(t, err)
	defer unix.Close(fd)
	p := at{fd, "x"}
	for _, typ := range []uint32{unix.S_IFREG, unix.S_IFDIR} {
		if typ == unix.S_IFDIR {
			must(t, os.Mkdir(dir+"/x", 0o700))
			must(t, unix.Setxattr(dir+"/x", aclDefault, someACL, 0))
		} else {
			write(t, dir+"/x", "")
		}
		must(t, unix.Setxattr(dir+"/x", aclAccess, someACL, 0))
		u := &upperDir{override: true}
		must(t, u.writeOverride(p, spec{typ: typ, perm: 0o771, uid: 7, gid: 8}))
		o, err := readOverrideStat(p, overrideXattr)
		must(t, err)
		if o.perm != 0o751 || o.uid != 7 || o.gid != 8 {
			t.Errorf("override_stat is %v", o)
		}
		if got := xattrs(t, dir+"/x"); len(got) != 1 {
			t.Errorf("attributes: %v", got)
		}
		must(t, os.RemoveAll(filepath.Join(dir, "x")))
	}
}

func TestWithoutACL(t *testing.T) {
	none := ^uint32(0)
	for _, tc := range []struct {
		what string
		perm uint32
		acl  []aclEntry
		want uint32
	}{
		{"the mask is not the group's", 0o770, []aclEntry{{aclUserObj, 7, none}, {aclUser, 7, 5}, {aclGroupObj, 0, none}, {aclMask, 7, none}, {aclOther, 0, none}}, 0o700},
		{"setgid stays", 0o2775, []aclEntry{{aclUserObj, 7, none}, {aclGroupObj, 5, none}, {aclMask, 7, none}, {aclOther, 5, none}}, 0o2755},
		{"somebody who may do nothing", 0o664, []aclEntry{{aclUserObj, 6, none}, {aclUser, 0, 5}, {aclGroupObj, 6, none}, {aclMask, 6, none}, {aclOther, 4, none}}, 0o600},
		{"a group that may do less than others", 0o666, []aclEntry{{aclUserObj, 6, none}, {aclGroupObj, 6, none}, {aclGroup, 4, 5}, {aclMask, 6, none}, {aclOther, 6, none}}, 0o664},
		{"no names", 0o640, []aclEntry{{aclUserObj, 6, none}, {aclGroupObj, 4, none}, {aclOther, 0, none}}, 0o640},
	} {
		if got := withoutACL(tc.perm, formatACL(tc.acl)); got != tc.want {
			t.Errorf("%s: %o, want %o", tc.what, got, tc.want)
		}
	}
	if got := withoutACL(0o777, []byte("x")); got != 0o700 {
		t.Errorf("not an ACL: %o", got)
	}
}

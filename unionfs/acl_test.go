package unionfs

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestACLAsBelow: what is made under a default ACL, and what chmod makes of an
// ACL, is the same in the union as on the filesystem below it.
func TestACLAsBelow(t *testing.T) {
	needMount(t)
	dir := scratch(t)
	mkdirs(t, dir+"/l", dir+"/u", dir+"/w", dir+"/plain")
	def := formatACL([]aclEntry{
		{aclUserObj, 7, ^uint32(0)}, {aclUser, 7, 1234}, {aclGroupObj, 5, ^uint32(0)},
		{aclMask, 7, ^uint32(0)}, {aclOther, 1, ^uint32(0)},
	})
	if err := unix.Setxattr(dir+"/plain", aclDefault, def, 0); err != nil {
		t.Skipf("SKIPPED: the filesystem has no ACLs: %v", err)
	}
	must(t, unix.Removexattr(dir+"/plain", aclDefault))
	mnt, _ := mount(t, Options{LowerDirs: []string{dir + "/l"}, Upper: dir + "/u", Work: dir + "/w"}, MountOptions{AllowOther: true})
	old := unix.Umask(0o027)
	defer unix.Umask(old)
	var trees [2]string
	for i, base := range []string{dir + "/plain", mnt} {
		must(t, os.Mkdir(base+"/d", 0o777))
		must(t, os.WriteFile(base+"/d/before", nil, 0o666))
		must(t, unix.Setxattr(base+"/d", aclDefault, def, 0))
		must(t, os.WriteFile(base+"/d/f", nil, 0o666))
		must(t, os.Mkdir(base+"/d/sub", 0o770))
		must(t, os.WriteFile(base+"/d/sub/g", nil, 0o640))
		must(t, os.Symlink("f", base+"/d/link"))
		must(t, os.Chmod(base+"/d/f", 0o604))
		must(t, unix.Setxattr(base+"/d/before", aclAccess, def, 0))
		for _, name := range []string{"d", "d/before", "d/f", "d/sub", "d/sub/g", "d/link"} {
			st := stat(t, base+"/"+name)
			trees[i] += name + " " + os.FileMode(st.Mode).String() + " " + strings.Join(xattrs(t, base+"/"+name), " ") + "\n"
		}
	}
	if d := cmp.Diff(trees[0], trees[1]); d != "" {
		t.Errorf("(-plain +union):\n%s", d)
	}
}

// TestCreateACL compares with the examples that acl(5)'s algorithm gives.
func TestCreateACL(t *testing.T) {
	minimal := []aclEntry{{aclUserObj, 7, 0}, {aclGroupObj, 5, 0}, {aclOther, 0, 0}}
	extended := []aclEntry{{aclUserObj, 7, 0}, {aclUser, 6, 5}, {aclGroupObj, 5, 0}, {aclMask, 7, 0}, {aclOther, 4, 0}}
	for _, tc := range []struct {
		def        []aclEntry
		perm, want uint32
		acl        []aclEntry
	}{
		{minimal, 0o666, 0o640, nil},
		{minimal, 0o2777, 0o2750, nil},
		{extended, 0o640, 0o640, []aclEntry{{aclUserObj, 6, 0}, {aclUser, 6, 5}, {aclGroupObj, 5, 0}, {aclMask, 4, 0}, {aclOther, 0, 0}}},
	} {
		acl, perm := createACL(tc.def, tc.perm)
		if d := cmp.Diff(tc.acl, acl, cmp.AllowUnexported(aclEntry{})); d != "" || perm != tc.want {
			t.Errorf("createACL(%v, %o) = %o, want %o (-want +got):\n%s", tc.def, tc.perm, perm, tc.want, d)
		}
	}
}

package unionfs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// needNesting skips a test where the kernel's overlay doesn't escape names yet.
func needNesting(t *testing.T) {
	t.Helper()
	needMount(t)
	var u unix.Utsname
	must(t, unix.Uname(&u))
	var major, minor int
	if _, err := fmt.Sscanf(string(u.Release[:]), "%d.%d", &major, &minor); err != nil || major < 6 || major == 6 && minor < 7 {
		t.Skipf("SKIPPED: the kernel's overlay can be nested from 6.7 on; this is %s", u.Release[:])
	}
}

// allXattrs are the attributes of every object below root, of all namespaces but
// that of labels, one a line.
func allXattrs(t *testing.T, root string) []string {
	t.Helper()
	var lines []string
	must(t, filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		names, err := at{unix.AT_FDCWD, p}.list()
		if err != nil {
			return err
		}
		for _, name := range names {
			v := make([]byte, 256)
			n, err := unix.Lgetxattr(p, name, v)
			if err != nil {
				return fmt.Errorf("%s of %s: %w", name, p, err)
			}
			if name != selinuxXattr {
				lines = append(lines, fmt.Sprintf("%s %s=%s", strings.TrimPrefix(p, root), name, v[:n]))
			}
		}
		return nil
	}))
	slices.Sort(lines)
	return lines
}

// list is listxattr by path.
func (a at) list() ([]string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(a.name, buf)
	var names []string
	for name := range bytes.SplitSeq(buf[:max(n, 0)], []byte{0}) {
		if len(name) > 0 {
			names = append(names, string(name))
		}
	}
	return names, err
}

// TestNestedXattrs: marks that somebody sets inside the mount are that
// somebody's: they are shown, stored escaped, and the kernel's overlay over the
// same directories shows the same.
func TestNestedXattrs(t *testing.T) {
	needNesting(t)
	for name, ns := range map[string]struct {
		x          XattrNamespace
		own, other string
		option     string
	}{
		"trusted": {XattrTrusted, trustedMarks, userMarks, "redirect_dir=on,metacopy=off"},
		"user":    {XattrUser, userMarks, trustedMarks, "userxattr"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := scratch(t)
			esc := ns.own + "overlay."
			write(t, dir+"/l/d/f", "")
			write(t, dir+"/l/d/g", "data")
			write(t, dir+"/l/e/f", "")
			must(t, unix.Setxattr(dir+"/l/d", esc+"opaque", []byte("x"), 0))
			must(t, unix.Setxattr(dir+"/l/d/f", esc+"whiteout", []byte("y"), 0))
			must(t, unix.Setxattr(dir+"/l/d/g", esc+"overlay.deep", []byte("2"), 0))
			must(t, unix.Setxattr(dir+"/l/d/g", ns.other+"overlay.foreign", []byte("3"), 0))
			mkdirs(t, dir+"/u", dir+"/w", dir+"/k")
			mnt, srv := mount(t, Options{LowerDirs: []string{dir + "/l"}, Upper: dir + "/u", Work: dir + "/w", Xattr: ns.x}, MountOptions{AllowOther: true})
			want := []string{
				"/d " + ns.own + "opaque=x", "/d/f " + ns.own + "whiteout=y",
				"/d/g " + esc + "deep=2", "/d/g " + ns.other + "overlay.foreign=3",
			}
			slices.Sort(want)
			if d := cmp.Diff(want, allXattrs(t, mnt)); d != "" {
				t.Errorf("of a lower (-want +got):\n%s", d)
			}
			must(t, os.Chmod(mnt+"/d", 0o700)) // copied up
			must(t, os.Chmod(mnt+"/d/g", 0o600))
			must(t, unix.Setxattr(mnt+"/e", ns.own+"opaque", []byte("y"), unix.XATTR_CREATE))
			must(t, unix.Setxattr(mnt+"/e/f", ns.own+"metacopy", nil, 0))
			must(t, unix.Setxattr(mnt+"/e/f", ns.own+"gone", []byte("1"), 0))
			must(t, unix.Removexattr(mnt+"/e/f", ns.own+"gone"))
			want = append(want, "/e "+ns.own+"opaque=y", "/e/f "+ns.own+"metacopy=")
			slices.Sort(want)
			if d := cmp.Diff(want, allXattrs(t, mnt)); d != "" {
				t.Errorf("after changes (-want +got):\n%s", d)
			}
			if err := unix.Setxattr(mnt+"/e", ns.own+strings.Repeat("n", 250-len(ns.own)), nil, 0); err != unix.EOPNOTSUPP {
				t.Errorf("a name that is too long when escaped: %v", err)
			}
			v := make([]byte, 10)
			if n, err := unix.Getxattr(dir+"/u/e", esc+"opaque", v); err != nil || string(v[:n]) != "y" {
				t.Errorf("on disk: %q, %v", v[:max(n, 0)], err)
			}
			must(t, srv.Unmount())
			opts := fmt.Sprintf("lowerdir=%s/l,upperdir=%s/u,workdir=%s/w,%s", dir, dir, dir, ns.option)
			must(t, unix.Mount("overlay", dir+"/k", "overlay", 0, opts))
			defer func() { must(t, unix.Unmount(dir+"/k", 0)) }()
			if d := cmp.Diff(want, allXattrs(t, dir+"/k")); d != "" {
				t.Errorf("the kernel's overlay (-want +got):\n%s", d)
			}
		})
	}
}

// TestNestedLayers: layers that lie in a union show in the kernel's overlay over
// them as they do when they lie in a kernel's overlay, whiteouts and opaque
// directories too.
func TestNestedLayers(t *testing.T) {
	needNesting(t)
	fill := func(root string) {
		write(t, root+"/low/d/gone", "1")
		write(t, root+"/low/d/stays", "2")
		write(t, root+"/low/o/hidden", "3")
		mkdirs(t, root+"/top/d", root+"/top/o")
		write(t, root+"/top/o/new", "4")
		must(t, unix.Setxattr(root+"/top/d", "trusted.overlay.opaque", []byte("x"), 0))
		write(t, root+"/top/d/gone", "")
		must(t, unix.Setxattr(root+"/top/d/gone", "trusted.overlay.whiteout", []byte("y"), 0))
		must(t, unix.Setxattr(root+"/top/o", "trusted.overlay.opaque", []byte("y"), 0))
		if err := unix.Mknod(root+"/top/d/white", unix.S_IFCHR, 0); err != unix.EPERM {
			t.Errorf("%s: mknod of a whiteout: %v, want EPERM", root, err)
		}
	}
	var trees [2][]string
	for i, kind := range []string{"kernel", "union"} {
		dir := scratch(t)
		mkdirs(t, dir+"/l", dir+"/u", dir+"/w", dir+"/m", dir+"/over")
		base := dir + "/m"
		if kind == "kernel" {
			must(t, unix.Mount("overlay", base, "overlay", 0, fmt.Sprintf("lowerdir=%s/l,upperdir=%s/u,workdir=%s/w", dir, dir, dir)))
			defer func() { must(t, unix.Unmount(base, 0)) }()
		} else {
			base, _ = mount(t, Options{LowerDirs: []string{dir + "/l"}, Upper: dir + "/u", Work: dir + "/w"}, MountOptions{AllowOther: true})
		}
		fill(base)
		must(t, unix.Mount("overlay", dir+"/over", "overlay", unix.MS_RDONLY, fmt.Sprintf("lowerdir=%s/top:%s/low", base, base)))
		trees[i] = snapshot(t, dir+"/over", snapshotOptions{})
		must(t, unix.Unmount(dir+"/over", 0))
	}
	sameTree(t, "over a kernel's overlay and over a union", trees[0], trees[1])
	if s := strings.Join(trees[1], "\n"); strings.Contains(s, "gone") || strings.Contains(s, "hidden") || !strings.Contains(s, "stays") {
		t.Errorf("the tree is:\n%s", s)
	}
}

// TestUnionInUnion: a union whose upper directory lies in another one.
func TestUnionInUnion(t *testing.T) {
	needMount(t)
	dir := scratch(t)
	mkdirs(t, dir+"/l", dir+"/u", dir+"/w")
	write(t, dir+"/l2/d/gone", "1")
	write(t, dir+"/l2/d/stays", "2")
	write(t, dir+"/l2/o/hidden", "3")
	outer, _ := mount(t, Options{LowerDirs: []string{dir + "/l"}, Upper: dir + "/u", Work: dir + "/w"}, MountOptions{AllowOther: true})
	mkdirs(t, outer+"/u", outer+"/w")
	o := Options{LowerDirs: []string{dir + "/l2"}, Upper: outer + "/u", Work: outer + "/w"}
	mnt, srv := mount(t, o, MountOptions{AllowOther: true})
	must(t, os.Remove(mnt+"/d/gone"))
	must(t, os.RemoveAll(mnt+"/o"))
	write(t, mnt+"/o/new", "4")
	must(t, os.Rename(mnt+"/d", mnt+"/e"))
	want := snapshot(t, mnt, snapshotOptions{})
	must(t, srv.Unmount())
	mnt, _ = mount(t, o, MountOptions{AllowOther: true})
	sameTree(t, "mounted again", want, snapshot(t, mnt, snapshotOptions{}))
	if s := strings.Join(want, "\n"); strings.Contains(s, "gone") || strings.Contains(s, "hidden") || strings.Count(s, "stays") != 1 {
		t.Errorf("the tree is:\n%s", s)
	}
}

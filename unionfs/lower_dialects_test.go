package unionfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func names(t *testing.T, dir string) string {
	t.Helper()
	ents, err := os.ReadDir(dir)
	must(t, err)
	var out []string
	for _, e := range ents {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

// TestLowerDialects: deletions in every dialect, in one directory of two layers.
func TestLowerDialects(t *testing.T) {
	needMount(t)
	for name, tc := range map[string]struct {
		top  func(d string)
		want string // of a directory that has a, b and sub/s below
	}{
		"AUFS":                {func(d string) { write(t, d+"/.wh.a", ""); write(t, d+"/new", "") }, "b new sub"},
		"AUFS and its name":   {func(d string) { write(t, d+"/.wh.sub", ""); write(t, d+"/sub/t", "") }, "a b sub"},
		"AUFS opaque":         {func(d string) { write(t, d+"/.wh..wh..opq", ""); write(t, d+"/new", "") }, "new"},
		"AUFS bookkeeping":    {func(d string) { mkdirs(t, d+"/.wh..wh.plnk", d+"/.wh..wh.orph"); write(t, d+"/.wh..wh.aufs", "") }, "a b sub"},
		"AUFS whiteout of ..": {func(d string) { write(t, d+"/.wh...", ""); write(t, d+"/.wh.", "") }, "a b sub"},
		"device":              {func(d string) { must(t, unix.Mknod(d+"/b", unix.S_IFCHR, 0)) }, "a sub"},
		"xwhiteout": {func(d string) {
			write(t, d+"/a", "")
			must(t, unix.Setxattr(d+"/a", userMarks+markWhiteout, []byte("y"), 0))
			must(t, unix.Setxattr(d, userMarks+markOpaque, []byte("x"), 0))
		}, "b sub"},
		"xwhiteout without x": {func(d string) {
			write(t, d+"/a", "")
			must(t, unix.Setxattr(d+"/a", userMarks+markWhiteout, []byte("y"), 0))
		}, "a b sub"},
		"fuse-overlayfs opaque": {func(d string) {
			must(t, unix.Setxattr(d, "user.fuseoverlayfs.opaque", []byte("y"), 0))
			must(t, unix.Setxattr(d, "user.fuseoverlayfs.origin", []byte("d"), 0))
		}, ""},
		"user opaque":    {func(d string) { must(t, unix.Setxattr(d, userMarks+markOpaque, []byte("y"), 0)) }, ""},
		"trusted opaque": {func(d string) { must(t, unix.Setxattr(d, trustedMarks+markOpaque, []byte("y"), 0)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := scratch(t)
			for _, f := range []string{"a", "b", "sub/s"} {
				write(t, filepath.Join(dir, "bottom/d", f), f)
			}
			d := filepath.Join(dir, "top/d")
			mkdirs(t, d)
			tc.top(d)
			mnt, _ := mount(t, Options{LowerDirs: []string{filepath.Join(dir, "top"), filepath.Join(dir, "bottom")}}, MountOptions{})
			if got := names(t, filepath.Join(mnt, "d")); got != tc.want {
				t.Errorf("shows %q, want %q", got, tc.want)
			}
			if name == "AUFS and its name" {
				if got := names(t, filepath.Join(mnt, "d/sub")); got != "t" {
					t.Errorf("sub shows %q, want what is above the whiteout", got)
				}
			}
		})
	}
}

// TestLowerOverride: owner, mode and type come from override_stat, under each
// name, in layers whose root has it, and in no other.
func TestLowerOverride(t *testing.T) {
	needMount(t)
	for _, name := range []string{overrideXattr, fuseOverrideXattr, privilegedOverrideXattr} {
		dir := scratch(t)
		top, bottom := filepath.Join(dir, "top"), filepath.Join(dir, "bottom")
		for _, l := range []string{top, bottom} {
			mkdirs(t, filepath.Join(l, "d"))
			must(t, unix.Setxattr(filepath.Join(l, "d"), name, []byte("10:20:0750"), 0))
		}
		must(t, unix.Setxattr(top, name, []byte("0:0:0755"), 0))
		for f, v := range map[string]string{
			"plain": "1:2:04751", "file": "1:2:0640:file", "link": "1:2:0777:symlink", "pipe": "1:2:0600:pipe",
			"sock": "1:2:0600:socket", "blk": "1:2:0660:block-8-1", "chr": "1:2:0666:char-1-3", "typed": "1:2:0100644",
		} {
			write(t, filepath.Join(top, f), "target")
			must(t, unix.Setxattr(filepath.Join(top, f), name, []byte(v), 0))
		}
		write(t, filepath.Join(bottom, "below"), "")
		must(t, unix.Setxattr(filepath.Join(bottom, "below"), name, []byte("1:2:0640"), 0))
		mnt, _ := mount(t, Options{LowerDirs: []string{top, bottom}}, MountOptions{})
		for f, want := range map[string]string{
			".": "40755 0:0 0", "d": "40750 10:20 0", "plain": "104751 1:2 0", "file": "100640 1:2 0", "link": "120777 1:2 0",
			"pipe": "10600 1:2 0", "sock": "140600 1:2 0", "blk": fmt.Sprint("60660 1:2 ", unix.Mkdev(8, 1)),
			"chr": fmt.Sprint("20666 1:2 ", unix.Mkdev(1, 3)), "typed": "100644 1:2 0", "below": "100644 0:0 0",
		} {
			var st unix.Stat_t
			must(t, unix.Lstat(filepath.Join(mnt, f), &st))
			if got := fmt.Sprintf("%o %d:%d %d", st.Mode, st.Uid, st.Gid, st.Rdev); got != want {
				t.Errorf("%s: %s is %s, want %s", name, f, got, want)
			}
		}
		if l, err := os.Readlink(filepath.Join(mnt, "link")); err != nil || l != "target" {
			t.Errorf("%s: link to %q, %v", name, l, err)
		}
		if got := read(t, filepath.Join(mnt, "file")); got != "target" {
			t.Errorf("%s: file holds %q", name, got)
		}
	}
}

// TestLowerInodes: numbers differ between filesystems, are those of the next
// mount, and are one for all names of a file.
func TestLowerInodes(t *testing.T) {
	needMount(t)
	dir := scratch(t)
	var layers []string
	for i := range 3 {
		l := filepath.Join(dir, fmt.Sprint("l", i))
		mkdirs(t, l)
		must(t, unix.Mount("tmpfs", l, "tmpfs", 0, ""))
		t.Cleanup(func() { _ = unix.Unmount(l, 0) })
		for j := range 20 {
			write(t, filepath.Join(l, fmt.Sprint("d", i), fmt.Sprint(j)), "")
		}
		must(t, os.Link(filepath.Join(l, fmt.Sprint("d", i), "0"), filepath.Join(l, fmt.Sprint("link", i))))
		layers = append(layers, l)
	}
	inner := filepath.Join(layers[0], "d0/inner")
	mkdirs(t, inner)
	must(t, unix.Mount("tmpfs", inner, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(inner, 0) })
	for j := range 20 {
		write(t, filepath.Join(inner, fmt.Sprint(j)), "")
	}
	var first map[string]uint64
	for range 2 {
		fs, err := New(Options{LowerDirs: layers})
		must(t, err)
		mnt := t.TempDir()
		srv, err := Mount(fs, mnt, MountOptions{})
		must(t, err)
		seen, owner := make(map[string]uint64), make(map[uint64]string)
		must(t, filepath.Walk(mnt, func(p string, _ os.FileInfo, err error) error {
			must(t, err)
			var st unix.Stat_t
			must(t, unix.Lstat(p, &st))
			seen[strings.TrimPrefix(p, mnt)] = st.Ino
			if old := owner[st.Ino]; old != "" && st.Nlink < 2 {
				t.Errorf("%s and %s are both %d", old, p, st.Ino)
			}
			owner[st.Ino] = p
			return nil
		}))
		for i := range 3 {
			if a, b := seen[fmt.Sprintf("/d%d/0", i)], seen[fmt.Sprintf("/link%d", i)]; a != b || a == 0 {
				t.Errorf("two names of a file have the numbers %d and %d", a, b)
			}
		}
		if first == nil {
			first = seen
		}
		for p, ino := range seen {
			if first[p] != ino {
				t.Errorf("%s was %d, is %d", p, first[p], ino)
			}
		}
		must(t, srv.Unmount())
	}
	for _, tc := range []struct{ num, ino uint64 }{{0, 5}, {3, 1<<48 - 1}, {mountedFS, 1}, {0, 1 << 60}, {1, 1<<63 + 7}} {
		if n := (filesystem{num: tc.num}).number(tc.ino); n == 0 || n >= upperTag {
			t.Errorf("number of %v = %#x", tc, n)
		}
	}
}

// TestLowerLookupIsFree: once a directory was read, names cost no system call
// (there is no descriptor left to make one with) and no allocation, however
// many layers there are.
func TestLowerLookupIsFree(t *testing.T) {
	dir := t.TempDir()
	var layers []string
	for i := range 100 {
		l := filepath.Join(dir, fmt.Sprint(i))
		write(t, filepath.Join(l, "d", fmt.Sprint(i)), "")
		layers = append(layers, l)
	}
	d, err := newDirsLower(new(privateDirs), layers, nil, false)
	must(t, err)
	e, err := d.lookup(d.root(), "d")
	must(t, err)
	_, err = d.lookup(e.ref, "7")
	must(t, err)
	must(t, d.close())
	if n := testing.AllocsPerRun(100, func() {
		if _, err := d.lookup(e.ref, "42"); err != nil {
			t.Error(err)
		}
		if _, err := d.lookup(e.ref, "missing"); err != unix.ENOENT {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("a look-up allocates %v times", n)
	}
}

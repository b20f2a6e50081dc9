package cow

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// makeTree makes a tree of lines: "d path", "f path content", "l path target",
// "c path" (a whiteout device), "x path name=value" (an xattr), "m path" (mode
// 0700), "h path size off:byte*len ..." (a file with holes), "n path target" (a hard
// link), "p path" (a fifo). All but directories have one time.
func makeTree(t testing.TB, lines string) string {
	t.Helper()
	dir := t.TempDir()
	for line := range strings.Lines(lines) {
		f := append(strings.Fields(line), "", "", "")
		if f[0] == "" {
			continue
		}
		p := filepath.Join(dir, f[1])
		var err error
		switch f[0] {
		case "d":
			err = os.MkdirAll(p, 0o755)
		case "f":
			err = os.WriteFile(p, []byte(f[2]), 0o644)
		case "h":
			err = holes(p, f[2:])
		case "l":
			err = os.Symlink(f[2], p)
		case "n":
			err = os.Link(filepath.Join(dir, f[2]), p)
		case "p":
			err = unix.Mkfifo(p, 0o644)
		case "c":
			err = unix.Mknod(p, unix.S_IFCHR, 0)
		case "m":
			err = os.Chmod(p, 0o700)
		case "x":
			name, value, _ := strings.Cut(f[2], "=")
			err = unix.Lsetxattr(p, name, []byte(value), 0)
		default:
			t.Fatalf("what is %q?", line)
		}
		if err == nil && f[0] != "d" && f[0] != "m" {
			err = unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{{Sec: 1}, {Sec: 1}}, unix.AT_SYMLINK_NOFOLLOW)
		}
		if err != nil {
			t.Fatalf("%s: %v", strings.TrimSpace(line), err)
		}
	}
	return dir
}

func changesOf(t *testing.T, u Upper) []string {
	t.Helper()
	var got []string
	for c, err := range u.Changes() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c.Kind.String()+" "+c.Path)
	}
	return got
}

const baseTree = `
d /bin
f /bin/ls ls
f /bin/cat cat
d /etc
f /etc/group g
f /etc/passwd p
d /home
d /usr/lib/deep
f /usr/lib/deep/a a
f /usr/lib/b b
d /var/www/html
f /var/www/html/index i
`

func TestChanges(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("trusted xattrs and whiteout devices need root")
	}
	base := makeTree(t, baseTree)
	for _, tc := range []struct {
		what, upper string
		dialect     whiteout.Dialect
		want        []string
	}{
		{"nothing", ``, whiteout.Trusted, nil},
		{"what docker printed", `
			d /bin
			f /bin/ls2 ls
			c /bin/ls
			d /d
			f /d/f x
			f /new n
			d /var
			c /var/www
			d /home
			m /home
			d /etc
			f /etc/passwd pz
			c /etc/group
			l /sl a
			d /usr`, whiteout.Trusted,
			[]string{"C /bin", "D /bin/ls", "A /bin/ls2", "A /d", "A /d/f", "C /etc", "D /etc/group", "C /etc/passwd",
				"C /home", "A /new", "A /sl", "C /var", "D /var/www"}},
		{"copied up and unchanged", "d /etc\nf /etc/passwd p", whiteout.Trusted, nil},
		{"deep change lists its parents once", "d /usr/lib/deep\nf /usr/lib/deep/a bb\nf /usr/lib/deep/c c\nf /usr/z z", whiteout.Trusted,
			[]string{"C /usr", "C /usr/lib", "C /usr/lib/deep", "C /usr/lib/deep/a", "A /usr/lib/deep/c", "A /usr/z"}},
		{"opaque", "d /bin\nx /bin trusted.overlay.opaque=y\nf /bin/cat puma", whiteout.Trusted,
			[]string{"C /bin", "C /bin/cat", "D /bin/ls"}},
		{"opaque in the other namespace is nothing", "d /bin\nx /bin user.overlay.opaque=y", whiteout.Trusted,
			[]string{"C /bin"}}, // but an xattr of its user's
		{"opaque root, for the kernel", "x / trusted.overlay.opaque=y\nd /bin\nf /bin/ls ls", whiteout.Trusted, nil},
		{"opaque root, for fuse-overlayfs", "f /.wh..wh..opq \nd /bin\nf /bin/ls ls", whiteout.FuseOverlay,
			[]string{"C /bin", "D /bin/cat", "D /etc", "D /home", "D /usr", "D /var"}},
		{"whiteout of nothing", "c /gone", whiteout.Trusted, nil},
		{"file in place of a directory", "f /etc x", whiteout.Trusted, []string{"C /etc"}},
		{"directory in place of a file", "d /etc/passwd\nf /etc/passwd/x y", whiteout.Trusted,
			[]string{"C /etc", "C /etc/passwd", "A /etc/passwd/x"}},
		{"renamed directory", "c /usr\nd /opt\nx /opt trusted.overlay.redirect=/usr\nd /opt/lib\nc /opt/lib/b", whiteout.Trusted,
			[]string{"A /opt", "A /opt/lib", "A /opt/lib/deep", "A /opt/lib/deep/a", "D /usr"}},
		{"renamed beside itself", "d /usr\nc /usr/lib\nd /usr/lib2\nx /usr/lib2 trusted.overlay.redirect=lib", whiteout.Trusted,
			[]string{"C /usr", "D /usr/lib", "A /usr/lib2", "A /usr/lib2/b", "A /usr/lib2/deep", "A /usr/lib2/deep/a"}},
		{"swapped in", "d /bin\nx /bin trusted.overlay.redirect=/var", whiteout.Trusted,
			[]string{"C /bin", "D /bin/cat", "D /bin/ls", "A /bin/www", "A /bin/www/html", "A /bin/www/html/index"}},
		{"xwhiteouts", "d /bin\nx /bin user.overlay.opaque=x\nf /bin/ls \nx /bin/ls user.overlay.whiteout=y", whiteout.User,
			[]string{"C /bin", "D /bin/ls"}},
		{"an empty file elsewhere is none", "d /bin\nf /bin/ls \nx /bin/ls user.overlay.whiteout=y", whiteout.User,
			[]string{"C /bin", "C /bin/ls"}},
		{"fuse-overlayfs", "d /bin\nf /bin/.wh.ls \nd /etc\nx /etc user.fuseoverlayfs.opaque=y", whiteout.FuseOverlay,
			[]string{"C /bin", "D /bin/ls", "C /etc", "D /etc/group", "D /etc/passwd"}},
		{"an xattr", "d /etc\nf /etc/passwd p\nx /etc/passwd user.a=b", whiteout.Trusted, []string{"C /etc", "C /etc/passwd"}},
		{"the overlay's xattrs", "d /etc\nx /etc trusted.overlay.origin=b\nf /etc/passwd p\nx /etc/passwd trusted.overlay.metacopy=", whiteout.Trusted, nil},
		{"links are not followed", "l /etc /var\nl /usr .", whiteout.Trusted, []string{"C /etc", "C /usr"}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			b, err := OpenDirBase([]string{base}, tc.dialect)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			got := changesOf(t, Upper{Dir: makeTree(t, "m /\n"+tc.upper), Dialect: tc.dialect, Base: b})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestChangesRefusesBadRedirects(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("trusted xattrs need root")
	}
	base := makeTree(t, baseTree)
	for _, r := range []string{"a/b", "..", "/a/../..", "//etc", "./x"} {
		b, err := OpenDirBase([]string{base}, whiteout.Trusted)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		u := Upper{Dir: makeTree(t, "d /x\nx /x trusted.overlay.redirect="+r), Dialect: whiteout.Trusted, Base: b}
		var last error
		for _, err := range u.Changes() {
			last = err
		}
		if last == nil {
			t.Errorf("redirect %q was accepted", r)
		}
	}
}

func TestChangesStops(t *testing.T) {
	upper := makeTree(t, "f /a a\nf /b b")
	b, err := OpenDirBase(nil, whiteout.User)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range (Upper{Dir: upper, Dialect: whiteout.User, Base: b}).Changes() {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d changes", n)
	}
	for _, err := range (Upper{Dir: filepath.Join(upper, "none"), Base: b}).Changes() {
		if err == nil {
			t.Error("no error for a missing upper")
		}
	}
}

func TestDirBase(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("trusted xattrs and whiteout devices need root")
	}
	low := makeTree(t, "d /a/sub\nf /a/f low\nf /a/sub/x x\nd /b\nf /b/f f\nd /c\nf /c/f f\nf /d d\nf /e e")
	mid := makeTree(t, "d /a\nf /a/g g\nc /a/f\nd /b\nx /b trusted.overlay.opaque=y\nf /b/g g\nc /c\nc /e")
	top := makeTree(t, "d /a\nf /a/f high\nd /c\nf /c/new n\nd /d\nf /d/in i\nl /link a")
	b, err := OpenDirBase([]string{low, mid, top}, whiteout.Trusted)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from what is open
		for p, want := range map[string][]string{
			"/": {"a", "b", "c", "d", "link"}, "/a": {"f", "g", "sub"}, "/a/sub": {"x"}, "/b": {"g"}, "/c": {"new"}, "/d": {"in"},
		} {
			got, err := b.ReadDir(p)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("ReadDir(%s): %v\n%s", p, err, diff)
			}
		}
		for p, size := range map[string]int64{"/a/f": 4, "/a/g": 1, "/a/sub/x": 1, "/d/in": 1} {
			if a, ok, err := b.Lookup(p); !ok || a.Size != size || err != nil {
				t.Errorf("Lookup(%s) = %+v, %t, %v", p, a, ok, err)
			}
		}
		for _, p := range []string{"/b/f", "/c/f", "/e", "/none", "/none/x", "/a/f/x", "/link/f", "/e/x"} {
			if a, ok, err := b.Lookup(p); ok || err != nil {
				t.Errorf("Lookup(%s) = %+v, %t, %v", p, a, ok, err)
			}
		}
	}
	b.Close()
	if n := len(b.open); n != 0 {
		t.Errorf("%d directories open after Close", n)
	}
	if _, err := OpenDirBase([]string{low, low + "/none"}, whiteout.Trusted); err == nil {
		t.Error("a layer that is not there was opened")
	}
}

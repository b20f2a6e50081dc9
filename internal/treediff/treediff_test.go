package treediff

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// sample makes a tree with one of everything the caller may make.
func sample(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(root, "d"), 0o755))
	must(os.WriteFile(filepath.Join(root, "d", "f"), []byte("content"), 0o644))
	must(os.WriteFile(filepath.Join(root, "d.x"), nil, 0o600)) // sorts between d and d/f
	must(os.Link(filepath.Join(root, "d", "f"), filepath.Join(root, "b")))
	must(os.Symlink("/etc/passwd", filepath.Join(root, "l")))
	must(os.WriteFile(filepath.Join(root, "n\xff\n"), []byte("x"), 0o400))
	must(os.WriteFile(filepath.Join(root, strings.Repeat("n", 255)), nil, 0o400))
	must(unix.Mkfifo(filepath.Join(root, "p"), 0o600))
	must(os.Chmod(filepath.Join(root, "d.x"), 0o600|os.ModeSetuid|os.ModeSticky))
	ts := []unix.Timespec{{Sec: 1}, {Sec: -5, Nsec: 123456789}}
	must(unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(root, "l"), ts, unix.AT_SYMLINK_NOFOLLOW))
	return root
}

func walk(t *testing.T, root string) *Record {
	t.Helper()
	r, err := Walk(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWalkRecords(t *testing.T) {
	r := walk(t, sample(t))
	var paths []string
	for _, e := range r.Entries {
		paths = append(paths, e.Path)
	}
	want := []string{".", "b", "d", "d.x", "d/f", "l", "n\xff\n", strings.Repeat("n", 255), "p"}
	slices.SortFunc(want, comparePaths)
	if d := cmp.Diff(want, paths); d != "" {
		t.Errorf("paths (-want +got):\n%s", d)
	}
	b, _ := r.Lookup("b")
	f, _ := r.Lookup("d/f")
	if b.Group != "b" || f.Group != "b" || f.Nlink != 2 || f.SHA256 != b.SHA256 || len(f.SHA256) != 32 {
		t.Errorf("hard-link group: %+v %+v", b, f)
	}
	l, _ := r.Lookup("l")
	if l.Link != "/etc/passwd" || l.Sec != -5 || l.Nsec != 123456789 || l.Mode&unix.S_IFMT != unix.S_IFLNK {
		t.Errorf("symlink: %+v", l)
	}
	x, _ := r.Lookup("d.x")
	if x.Mode != unix.S_IFREG|0o5600 || x.Group != "" {
		t.Errorf("mode: %+v", x)
	}
}

func TestCompareSeesEveryProperty(t *testing.T) {
	root := os.Getuid() == 0
	change := func(do func(path string) error, name string) func(string) error {
		return func(dir string) error { return do(filepath.Join(dir, name)) }
	}
	for _, c := range []struct {
		name     string
		needRoot bool
		do       func(root string) error
		want     []string // "path field"
	}{
		{"removed", false, change(os.Remove, "p"), []string{"p missing"}},
		{"added", false, change(func(p string) error { return unix.Mkfifo(p, 0o600) }, "q"), []string{"q extra"}},
		{"type", false, change(func(p string) error { _ = os.Remove(p); return os.WriteFile(p, nil, 0o600) }, "p"), []string{"p type"}},
		{"sticky", false, change(func(p string) error { return unix.Chmod(p, 0o4600) }, "d.x"), []string{"d.x mode"}},
		{"content", false, change(func(p string) error { return os.WriteFile(p, []byte("CONTENT"), 0) }, "d/f"), []string{"b content", "d/f content"}},
		{"nanosecond", false, change(func(p string) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{{}, {Sec: -5, Nsec: 123456788}}, unix.AT_SYMLINK_NOFOLLOW)
		}, "l"), []string{"l mtime"}},
		{"broken link group", false, change(func(p string) error {
			_ = os.Remove(p)
			return os.WriteFile(p, []byte("content"), 0o644)
		}, "b"), []string{"b nlink", "b group", "d/f nlink", "d/f group"}},
		{"target", false, change(func(p string) error { _ = os.Remove(p); return os.Symlink("/etc/passwd2", p) }, "l"), []string{"l size", "l mtime", "l link"}},
		{"owner of a symlink", true, change(func(p string) error { return os.Lchown(p, 7, 8) }, "l"), []string{"l owner"}},
		{"trusted xattr", true, change(func(p string) error { return unix.Lsetxattr(p, "trusted.t", []byte{0}, 0) }, "l"), []string{`l xattr "trusted.t"`}},
		{"device number", true, change(func(p string) error {
			_ = os.Remove(p)
			return unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
		}, "p"), []string{"p type"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.needRoot && !root {
				t.Skip("needs root")
			}
			dir := sample(t)
			before := walk(t, dir)
			if err := c.do(dir); err != nil {
				t.Fatal(err)
			}
			ign := Ignore{DirSize: true, MtimeOf: []string{".", "d", "d/f", "b"}}
			var got []string
			for _, d := range Compare(before, walk(t, dir), ign) {
				if d.Field != "mtime" || d.Path == "l" {
					got = append(got, d.Path+" "+d.Field)
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestIgnore(t *testing.T) {
	base := Entry{Path: "f", Mode: unix.S_IFREG | 0o644, Nlink: 1, Xattrs: []Xattr{{Name: "trusted.a", Value: "1"}}}
	for _, c := range []struct {
		name string
		got  func(*Entry)
		ign  Ignore
		want int
	}{
		{"same", func(*Entry) {}, Ignore{}, 0},
		{"owner counted", func(e *Entry) { e.UID = 1 }, Ignore{}, 1},
		{"owner ignored", func(e *Entry) { e.UID = 1 }, Ignore{Owner: true}, 0},
		{"xattr ignored", func(e *Entry) { e.Xattrs = nil }, Ignore{XattrPrefixes: []string{"trusted."}}, 0},
		{"other xattr counted", func(e *Entry) { e.Xattrs = nil }, Ignore{XattrPrefixes: []string{"user."}}, 1},
		{"unreadable xattr counted", func(e *Entry) { e.Xattrs = []Xattr{{Name: "trusted.a", Err: "no data"}} }, Ignore{}, 1},
		{"size of a file counted", func(e *Entry) { e.Size = 1 }, Ignore{DirSize: true}, 1},
		{"mtime ignored here", func(e *Entry) { e.Nsec = 1 }, Ignore{MtimeOf: []string{"f"}}, 0},
		{"mtime ignored elsewhere", func(e *Entry) { e.Nsec = 1 }, Ignore{MtimeOf: []string{"g"}}, 1},
		{"device ignored", func(e *Entry) { e.Mode = unix.S_IFCHR }, Ignore{Devices: true}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := base
			c.got(&e)
			ds := Compare(&Record{Entries: []Entry{base}}, &Record{Entries: []Entry{e}}, c.ign)
			if len(ds) != c.want {
				t.Errorf("%d differences, want %d:\n%s", len(ds), c.want, Format(ds, 10))
			}
		})
	}
}

func TestFormatLimits(t *testing.T) {
	var ds []Difference
	for i := range 5 {
		ds = append(ds, Difference{Path: fmt.Sprint(i), Field: "size", Want: "1", Got: "2"})
	}
	want := "\"0\": size: want 1, got 2\n\"1\": size: want 1, got 2\n… and 3 more\n"
	if d := cmp.Diff(want, Format(ds, 2)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

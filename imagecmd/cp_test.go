package imagecmd

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/treediff"
)

func TestParseCopyArg(t *testing.T) {
	for arg, want := range map[string]cpArg{
		"web:/x": {"web", "/x"}, "web:x": {"web", "x"}, "web:": {"web", ""}, "web:/a:b": {"web", "/a:b"},
		"/a:b": {"", "/a:b"}, "./a:b": {"", "./a:b"}, "../a:b": {"", "../a:b"}, "a": {"", "a"}, "-": {"", "-"}, "": {"", ""},
	} {
		if got := parseCopyArg(arg); got != want {
			t.Errorf("%q: %+v, want %+v", arg, got, want)
		}
	}
}

// openTree opens a directory as a root.
func openTree(t testing.TB, dir string) rootedAt {
	t.Helper()
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return rootedAt(f.Fd())
}

func TestPlace(t *testing.T) {
	root := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(root, "dir/sub"), 0o755),
		os.WriteFile(filepath.Join(root, "file"), nil, 0o644),
		os.Symlink("/dir", filepath.Join(root, "todir")),
		os.Symlink("file", filepath.Join(root, "tofile")),
		os.Symlink("../../../dir/new", filepath.Join(root, "tonew")),
		os.Symlink("/nosuch/new", filepath.Join(root, "tonowhere")),
		os.Symlink("loop", filepath.Join(root, "loop")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	file, dir, contents := cpObject{Name: "src"}, cpObject{Name: "src", Dir: true}, cpObject{Name: ".", Dir: true, Contents: true}
	for _, tc := range []struct {
		to   string
		o    cpObject
		want string // where it goes, or why not
	}{
		{"/dir", file, "dir src"}, {"/dir/", file, "dir src"}, {"dir/.", file, "dir src"}, {"/", file, ". src"}, {".", file, ". src"},
		{"/dir", dir, "dir src"}, {"/dir", contents, "dir ."}, {"/todir", file, "dir src"}, {"/todir/", contents, "dir ."},
		{"/file", file, ". file"}, {"/tofile", file, ". file"}, {"/file", dir, errCopyDir.Error()}, {"/file", contents, errCopyDir.Error()},
		{"/file/", file, errNotDir.Error()}, {"/file/", dir, errNotDir.Error()}, {"/file/.", file, errNotDir.Error()},
		{"/new", file, ". new"}, {"/new", dir, ". new"}, {"/new", contents, ". new"}, {"/new/", dir, ". new"}, {"/new/.", dir, ". new"},
		{"/new/", file, errNoDir.Error()}, {"/new/.", file, errNoDir.Error()},
		{"/tonew", file, "dir new"}, {"/tonew", dir, "dir new"}, {"/todir/new", file, "dir new"}, {"/todir/../new", file, ". new"},
		{"/tonowhere", file, errNoPlace.Error()}, {"/nosuch/new", file, errNoPlace.Error()}, {"/nosuch/new", dir, errNoPlace.Error()}, {"/file/new", file, errNoPlace.Error()},
		{"/loop", file, "open /loop: too many levels of symbolic links"},
	} {
		p, err := place(openTree(t, root), tc.to, tc.o)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			at, _ := os.Readlink(procPath(p.dir))
			rel, _ := filepath.Rel(root, at)
			got = rel + " " + p.name
			p.dir.Close()
		}
		if got != tc.want {
			t.Errorf("%s to %s: %q, want %q", tc.o.Name, tc.to, got, tc.want)
		}
	}
}

// copied packs an object of a tree and unpacks it into a new one.
func copied(t *testing.T, from, name string) string {
	t.Helper()
	var b bytes.Buffer
	if err := pack(&b, openTree(t, from), name, false, false); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	f, o, err := lookAt(openTree(t, from), name, false)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	u := &unpacking{root: openTree(t, to), top: o.Name, owner: ownerSource}
	if u.place, err = place(u.root, "/copy", o); err != nil {
		t.Fatal(err)
	}
	defer u.place.dir.Close()
	if err := u.unpack(&b); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(to, "copy")
}

func TestCopyTree(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to give files away")
	}
	root := fixtureRoot(t)
	for _, err := range []error{
		os.Chown(filepath.Join(root, "data/sub/two"), 7, 8),
		unix.Mknod(filepath.Join(root, "data/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		unix.Setxattr(filepath.Join(root, "data/sub/two"), "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"/data", "/data/."} {
		to := copied(t, root, name)
		walk := func(dir string) *treediff.Record {
			r, err := treediff.Walk(dir, treediff.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		ds := treediff.Compare(walk(filepath.Join(root, "data")), walk(to), treediff.Ignore{DirSize: true, DirNlink: true, Mtime: true, XattrPrefixes: []string{"user."}})
		if len(ds) > 0 {
			t.Errorf("%s:\n%s", name, treediff.Format(ds, 20))
		}
		was, _ := os.Stat(filepath.Join(root, "data/one"))
		is, err := os.Stat(filepath.Join(to, "one"))
		if err != nil || is.ModTime().Unix() != was.ModTime().Unix() {
			t.Errorf("%v %v", is.ModTime(), err)
		}
	}
}

// TestUnpackHostile unpacks what no packing makes: nothing may be written outside of
// the directory, or through a link that the tar has brought itself.
func TestUnpackHostile(t *testing.T) {
	outside := t.TempDir()
	for name, members := range map[string][]tar.Header{
		"dots":             {{Name: "top/../../x", Typeflag: tar.TypeReg}},
		"absolute":         {{Name: "/etc/x", Typeflag: tar.TypeReg}},
		"another top":      {{Name: "other", Typeflag: tar.TypeReg}},
		"through a link":   {{Name: "top", Typeflag: tar.TypeDir}, {Name: "top/l", Typeflag: tar.TypeSymlink, Linkname: outside}, {Name: "top/l/x", Typeflag: tar.TypeReg}},
		"link as top":      {{Name: "top", Typeflag: tar.TypeSymlink, Linkname: outside}, {Name: "top/x", Typeflag: tar.TypeReg}},
		"hard link out":    {{Name: "top", Typeflag: tar.TypeDir}, {Name: "top/h", Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"}},
		"hard link by one": {{Name: "top", Typeflag: tar.TypeDir}, {Name: "top/l", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, {Name: "top/h", Typeflag: tar.TypeLink, Linkname: "top/l/passwd"}},
		"dir over a link":  {{Name: "top", Typeflag: tar.TypeDir}, {Name: "top/l", Typeflag: tar.TypeSymlink, Linkname: outside}, {Name: "top/l", Typeflag: tar.TypeDir}},
		"strange type":     {{Name: "top", Typeflag: 'V'}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			for _, h := range members {
				h.Mode = 0o777
				if err := w.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
			}
			w.Close()
			to := t.TempDir()
			u := &unpacking{root: openTree(t, to), top: "top", owner: ownerHere}
			var err error
			if u.place, err = place(u.root, "/", cpObject{Name: "top", Dir: true}); err != nil {
				t.Fatal(err)
			}
			defer u.place.dir.Close()
			if err := u.unpack(&b); err == nil {
				t.Error("accepted")
			} else if strings.Contains(err.Error(), "unexpected EOF") {
				t.Error(err)
			}
			if left, err := os.ReadDir(outside); len(left) > 0 || err != nil {
				t.Errorf("outside: %v %v", left, err)
			}
		})
	}
}

// FuzzUnpack unpacks any tar, a person's and one of a container: whatever it says,
// nothing appears outside of the root.
func FuzzUnpack(f *testing.F) {
	seed := func(members ...tar.Header) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range members {
			h.Mode = 0o644
			_ = w.WriteHeader(&h)
		}
		w.Close()
		f.Add(b.Bytes())
	}
	seed(tar.Header{Name: "top", Typeflag: tar.TypeDir}, tar.Header{Name: "top/l", Typeflag: tar.TypeSymlink, Linkname: "/../../out"}, tar.Header{Name: "top/l/x", Typeflag: tar.TypeReg})
	seed(tar.Header{Name: "top/../../out/x", Typeflag: tar.TypeReg}, tar.Header{Name: "top/h", Typeflag: tar.TypeLink, Linkname: "top/x"})
	seed(tar.Header{Name: "top", Typeflag: tar.TypeFifo}, tar.Header{Name: "top", Typeflag: tar.TypeReg})
	f.Fuzz(func(t *testing.T, b []byte) {
		for r := tar.NewReader(bytes.NewReader(b)); ; {
			h, err := r.Next()
			if err != nil {
				break
			}
			if h.Size > 1<<20 {
				t.Skip() // a tar of a few bytes may stand for a file that takes hours to write
			}
		}
		for _, top := range []string{"", "top", "."} {
			dir := t.TempDir()
			for _, name := range []string{"root", "out"} {
				if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			u := &unpacking{root: openTree(t, filepath.Join(dir, "root")), top: top, path: "/", owner: ownerHere}
			var err error
			if u.place, err = place(u.root, "/", cpObject{Name: top, Dir: true}); err != nil {
				t.Fatal(err)
			}
			err = u.unpack(io.LimitReader(bytes.NewReader(b), 1<<20))
			u.place.dir.Close()
			if errors.Is(err, unix.EBADF) {
				t.Error(err)
			}
			for name, want := range map[string]int{"": 2, "out": 0} {
				if left, err := os.ReadDir(filepath.Join(dir, name)); len(left) != want || err != nil {
					t.Errorf("%v %v", left, err)
				}
			}
		}
	})
}

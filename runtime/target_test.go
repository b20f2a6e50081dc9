package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// hostileRoot is a root whose links try to lead out of it.
func hostileRoot(t *testing.T) (r rootDir, dir, outside string) {
	t.Helper()
	base := t.TempDir()
	dir, outside = filepath.Join(base, "root"), filepath.Join(base, "outside")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "etc"), 0o755), os.MkdirAll(filepath.Join(dir, outside), 0o755), os.Mkdir(outside, 0o755),
		os.Symlink(outside, filepath.Join(dir, "abs")),
		os.Symlink("../../../../../../.."+outside, filepath.Join(dir, "rel")),
		os.Symlink("../outside", filepath.Join(dir, "up")),
		os.Symlink("/proc/self/root/"+outside, filepath.Join(dir, "magic")),
		os.Symlink("loop", filepath.Join(dir, "loop")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return rootDir{fd}, dir, outside
}

func TestTargetsStayInside(t *testing.T) {
	r, dir, outside := hostileRoot(t)
	for name, want := range map[string]string{ // path below the root, "" for an error
		"/":                  "",
		"/new/deep/dir":      "/new/deep/dir",
		"/../../../x":        "/x",
		"/abs/x":             outside + "/x",
		"/rel/y/z":           outside + "/y/z",
		"/up/x":              "error",
		"/magic/x":           "error",
		"/loop/x":            "error",
		"/etc/../abs/../etc": "/etc",
	} {
		fd, err := r.mkdirAll(name)
		if want == "error" {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		unix.Close(fd)
		if err != nil || got != filepath.Clean(dir+want) {
			t.Errorf("%s: opened %s, %v; want %s%s", name, got, err, dir, want)
		}
	}
	if fd, err := r.mkfile("/abs/f/g"); err != nil {
		t.Error(err)
	} else {
		unix.Close(fd)
	}
	if _, err := r.mkfile("/magic"); err == nil {
		t.Error("a file was made through a dangling link")
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("made outside: %v, %v", left, err)
	}
}

func TestLookupUser(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1001::/home/alice:/bin/sh\n1234:x:55:56::/n:/bin/sh\nbroken\n",
		"group":  "root:x:0:\nusers:x:100:alice\naudio:x:29:alice,root\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]User{
		"":            {Groups: []uint32{29}, Home: "/root"},
		"root":        {Groups: []uint32{29}, Home: "/root"},
		"0":           {Groups: []uint32{29}, Home: "/root"},
		"alice":       {UID: 1000, GID: 1001, Groups: []uint32{100, 29}, Home: "/home/alice"},
		"1000":        {UID: 1000, GID: 1001, Groups: []uint32{100, 29}, Home: "/home/alice"},
		"alice:audio": {UID: 1000, GID: 29, Home: "/home/alice"},
		"alice:77":    {UID: 1000, GID: 77, Home: "/home/alice"},
		"4321":        {UID: 4321, Home: "/"},
		"4321:29":     {UID: 4321, GID: 29, Home: "/"},
	} {
		got, err := LookupUser(dir, name)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v %s", name, err, diff)
		}
	}
	for _, name := range []string{"nobody", "alice:none", "-1", "99999999999", "alice:-5"} {
		if u, err := LookupUser(dir, name); !errors.Is(err, ErrUser) {
			t.Errorf("%q: %+v, %v", name, u, err)
		}
	}
}

// The files are the image's: they may be missing, or something else.
func TestLookupUserHostile(t *testing.T) {
	r, dir, outside := hostileRoot(t)
	_ = r
	if u, err := LookupUser(dir, "5"); err != nil || u.UID != 5 {
		t.Errorf("without files: %+v, %v", u, err)
	}
	if err := os.WriteFile(filepath.Join(outside, "passwd"), []byte("evil:x:7:7::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	passwd := filepath.Join(dir, "etc/passwd")
	if err := os.Symlink(filepath.Join(outside, "passwd"), passwd); err != nil {
		t.Fatal(err)
	}
	if u, err := LookupUser(dir, "evil"); !errors.Is(err, ErrUser) {
		t.Errorf("read through a link out of the root: %+v, %v", u, err)
	}
	if err := os.Remove(passwd); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(passwd, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := LookupUser(dir, "evil"); err == nil || errors.Is(err, ErrUser) {
		t.Errorf("a pipe for passwd: %v", err)
	}
}

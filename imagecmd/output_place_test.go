package imagecmd

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What is no file, or is open already, is written to, and never replaced or removed.
func TestNotes(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	open, err := os.Create(at("open"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	fmt.Fprintln(open, "before")
	for _, err := range []error{
		os.WriteFile(at("file"), []byte("old"), 0o600),
		os.Symlink("file", at("link")),
		os.Symlink(fmt.Sprintf("/proc/self/fd/%d", open.Fd()), at("stdout")),
		os.Symlink("stdout", at("stdout2")),
		os.Symlink("/dev/null", at("null")),
		unix.Mkfifo(at("pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	pipe, err := os.OpenFile(at("pipe"), os.O_RDWR, 0) // so that opening it does not wait
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	for _, tc := range []struct {
		name    string
		removed bool
	}{{"new", true}, {"file", true}, {"link", true}, {"stdout", false}, {"stdout2", false}, {"null", false}, {"pipe", false}} {
		p := at(tc.name)
		if err := checkNote(p); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		before, _ := os.Lstat(p)
		if err := removeNote(p); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if _, err := os.Lstat(p); os.IsNotExist(err) != tc.removed {
			t.Errorf("%s: removed: %v", tc.name, err)
		}
		if err := writeNote(p, []byte(tc.name+"\n")); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if after, err := os.Lstat(p); err != nil || !tc.removed && !os.SameFile(before, after) {
			t.Errorf("%s was replaced, %v", tc.name, err)
		}
		if !tc.removed {
			continue
		}
		if got, err := os.ReadFile(p); err != nil || string(got) != tc.name+"\n" {
			t.Errorf("%s holds %q, %v", tc.name, got, err)
		}
	}
	if got, _ := os.ReadFile(at("open")); string(got) != "before\nstdout\nstdout2\n" {
		t.Errorf("what was open holds %q", got)
	}
	got := make([]byte, 10)
	if n, err := pipe.Read(got); err != nil || string(got[:n]) != "pipe\n" {
		t.Errorf("the pipe has %q, %v", got[:n], err)
	}
	for _, p := range []string{dir, at("none/x"), at("file/x")} {
		if checkNote(p) == nil {
			t.Errorf("%s can be written", p)
		}
	}
	// A link to a file stays one.
	if err := os.Symlink("file", at("again")); err != nil {
		t.Fatal(err)
	}
	if err := writeNote(at("again"), []byte("through\n")); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(at("again")); to != "file" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if got, _ := os.ReadFile(at("file")); string(got) != "through\n" {
		t.Errorf("the file holds %q", got)
	}
}

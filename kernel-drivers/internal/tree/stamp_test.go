package tree

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStampTellsWhatChangedSince(t *testing.T) {
	dir := t.TempDir()
	copied, stamp := filepath.Join(dir, "copy"), filepath.Join(dir, "stamp")
	for _, d := range []string{copied, filepath.Join(copied, "d")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"quiet", "touched", "moved"} {
		if err := os.WriteFile(filepath.Join(copied, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(copied, 0o700); err != nil { // the last thing that is done to a copy
		t.Fatal(err)
	}
	if err := Stamp(stamp, copied); err != nil {
		t.Fatal(err)
	}
	// A file's own time may be any; that of its last change may not be chosen.
	if err := os.Chtimes(filepath.Join(copied, "touched"), time.Unix(0, 0), time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(copied, "moved"), filepath.Join(copied, "d", "moved")); err != nil {
		t.Fatal(err)
	}
	same, err := Unchanged(stamp)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"quiet": true, "touched": false, "d/moved": false, "d": false} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(copied, name), &st); err != nil {
			t.Fatal(err)
		}
		if got := same(&st); got != want {
			t.Errorf("%s is unchanged: %t, want %t", name, got, want)
		}
	}
	if err := os.Remove(stamp); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(copied, "quiet"), &st); err != nil {
		t.Fatal(err)
	}
	if same, err = Unchanged(stamp); err != nil || same(&st) {
		t.Errorf("without a stamp: %v, or something is known", err)
	}
}

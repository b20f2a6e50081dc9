package tree

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

func TestRemoveTreeDeepAndLocked(t *testing.T) {
	dir := t.TempDir()
	at, err := sys.Open(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		t.Fatal(err)
	}
	for range 3*maxDepth + 7 {
		if err := unix.Mkdirat(at, "deep", 0o700); err != nil {
			t.Fatal(err)
		}
		next, err := sys.Open(at, "deep", unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Mkdirat(at, "locked", 0); err != nil {
			t.Fatal(err)
		}
		unix.Close(at)
		at = next
	}
	unix.Close(at)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(dir, "deep", "link")); err != nil {
		t.Fatal(err)
	}
	if err := Remove(dir, "deep"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir + "/deep"); !os.IsNotExist(err) {
		t.Errorf("after Remove: %v", err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("a symlink was followed: %v", err)
	}
	if err := Remove(dir, "deep"); err != nil {
		t.Error(err)
	}
	if err := Remove(filepath.Join(dir, "no"), "deep"); err != nil {
		t.Error(err)
	}
}

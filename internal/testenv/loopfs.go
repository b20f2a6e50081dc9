package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cfs-project/cfs/internal/busy"
)

// LoopFS makes a filesystem of a type (ext4, xfs, btrfs) in a sparse file of size
// bytes, in memory where there is room, with options of mkfs, and mounts it for
// the test. Without root, or without the program that makes it, the test is
// skipped.
func LoopFS(t testing.TB, fstype string, size int64, options ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to mount a filesystem")
	}
	mkfs := "mkfs." + fstype
	if _, err := exec.LookPath(mkfs); err != nil {
		t.Skipf("SKIPPED: needs %s", mkfs)
	}
	dir := TempDir(t)
	image, mnt := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	must(t, os.Mkdir(mnt, 0o755))
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, size))
	args := append(append([]string{mkfs, "-q"}, options...), image)
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, mnt).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: needs a loop device: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := busy.Unmount(mnt); err != nil {
			t.Error(err)
		}
	})
	return mnt
}

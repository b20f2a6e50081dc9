package suites

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	drivers "github.com/cfs-project/cfs/kernel-drivers"
	"github.com/cfs-project/cfs/unionfs"
)

// driversToTest are those that the suites are run on.
var driversToTest = []string{unionfs.DriverName, "overlay2", "btrfs"}

// newDriver is a driver that keeps what it needs below home.
func newDriver(t testing.TB, name, home string) cow.Driver {
	t.Helper()
	all := append([]cow.Driver{unionfs.NewDriver(slog.New(slog.DiscardHandler))}, drivers.List(home, nil)...)
	for _, d := range all {
		if d.Name() != name {
			continue
		}
		if err := d.Probe(t.Context()); err != nil {
			t.Skipf("SKIPPED: %v", err)
		}
		return d
	}
	t.Fatalf("no driver %s", name)
	return nil
}

// ground makes the temporary directory of the suites one on a filesystem of its own
// that the driver can work on. It is gone, with all mounts, when t ends.
func ground(t *testing.T, driver string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root, to mount")
	}
	fstype := "ext4"
	if driver == "btrfs" {
		fstype = "btrfs"
	}
	dir := t.TempDir()
	file, at := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	for _, args := range [][]string{
		{"truncate", "-s", "2G", file}, {"mkfs." + fstype, "-q", file}, {"mkdir", at}, {"mount", "-o", "loop", file, at},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		left, err := mountsBelow(at)
		if err != nil || len(left) > 0 {
			t.Errorf("left mounted: %q (%v)", left, err)
		}
		if err := unix.Unmount(at, 0); err != nil {
			t.Errorf("somebody still uses the filesystem: %v", err)
			unix.Unmount(at, unix.MNT_DETACH)
		}
	})
	t.Setenv("TMPDIR", at)
	return at
}

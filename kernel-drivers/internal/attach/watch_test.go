package attach_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/attach"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

// The number of a mount goes to the next one that is made, at once.
func TestWatchIsNotMisledByTheNextMount(t *testing.T) {
	drivertest.NeedsRoot(t)
	dir := drivertest.Filesystem(t, "tmpfs", "")
	for _, name := range []string{"from", "to", "other"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	from, to, other := filepath.Join(dir, "from"), filepath.Join(dir, "to"), filepath.Join(dir, "other")
	for range 50 {
		if err := attach.Bind(from, to, 0); err != nil {
			t.Fatal(err)
		}
		ended := false
		m, err := attach.Watch(to, func() { ended = true })
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Unmount(to, 0); err != nil {
			t.Fatal(err)
		}
		if err := attach.Bind(from, other, 0); err != nil {
			t.Fatal(err)
		}
		select {
		case <-m.Done():
		case <-time.After(30 * time.Second):
			t.Fatal("the mount is gone, and Done still open")
		}
		if !ended {
			t.Error("the end was not told")
		}
		if err := m.Unmount(); err != nil {
			t.Error(err)
		}
		if err := unix.Unmount(other, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBindFlags(t *testing.T) {
	drivertest.NeedsRoot(t)
	from, to := drivertest.Filesystem(t, "tmpfs", "nosuid,nodev"), t.TempDir()
	for attr, want := range map[int]string{
		0: "rw,", unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV: "ro,nodev,", unix.MOUNT_ATTR_NOSUID: "rw,nosuid,",
	} {
		if err := attach.Bind(from, to, attr); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), " / "+to+" "+want) || strings.Contains(string(data), " "+to+" rw,nosuid,nodev") {
			t.Errorf("with flags %#x mountinfo has no %q at %s:\n%s", attr, want, to, data)
		}
		if err := unix.Unmount(to, 0); err != nil {
			t.Fatal(err)
		}
	}
}

package loop_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/loop"
)

func TestAttachGrowAndGone(t *testing.T) {
	drivertest.NeedsRoot(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	has := func() bool {
		t.Helper()
		has, err := loop.Has(file)
		if err != nil {
			t.Fatal(err)
		}
		return has
	}
	if has() {
		t.Error("a new file has a loop device")
	}
	f, err := loop.Attach(file)
	if err != nil {
		t.Fatal(err)
	}
	if !has() {
		t.Error("it has none after Attach")
	}
	if err := os.Truncate(file, 2<<20); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if err := loop.Grow(unix.Major(st.Rdev), unix.Minor(st.Rdev)); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Seek(0, 2); n != 2<<20 {
		t.Errorf("it has %d bytes after it grew, %v", n, err)
	}
	if _, err := f.WriteAt([]byte("x"), 2<<20-512); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	for range 500 {
		if !has() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the device is there when nobody has it open")
}

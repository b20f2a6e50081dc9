package busy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnmount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to mount")
	}
	dir := t.TempDir()
	if err := Unmount(dir); !errors.Is(err, unix.EINVAL) {
		t.Errorf("of what is no mount: %v", err)
	}
	if err := unix.Mount("busy", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	if found := users(dir); !strings.Contains(strings.Join(found, "\n"), f.Name()) {
		t.Errorf("%q don't name the open file", found)
	}
	f.Close()
	if err := Unmount(dir); err != nil {
		t.Error(err)
	}
}

package unionfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMetacopyLower: a file whose data the kernel left further below is refused,
// by reads and by copy-up, and not shown as zeros; a sparse file of one's own is
// read.
func TestMetacopyLower(t *testing.T) {
	needMount(t)
	low, up, mnt := scratch(t), scratch(t), t.TempDir()
	mkdirs(t, filepath.Join(up, "up"), filepath.Join(up, "work"))
	for _, name := range []string{"stub", "hole"} {
		f, err := os.Create(filepath.Join(low, name))
		must(t, err)
		must(t, f.Truncate(4096))
		must(t, f.Close())
	}
	must(t, unix.Setxattr(filepath.Join(low, "stub"), "trusted.overlay.metacopy", nil, 0))
	fs, err := New(Options{LowerDirs: []string{low}, Upper: filepath.Join(up, "up"), Work: filepath.Join(up, "work")})
	must(t, err)
	srv, err := Mount(fs, mnt, MountOptions{AllowOther: true})
	must(t, err)
	defer func() { must(t, srv.Unmount()) }()
	if b, err := os.ReadFile(filepath.Join(mnt, "stub")); !errors.Is(err, unix.EIO) {
		t.Errorf("read of a metacopy file = %d bytes, %v; want EIO", len(b), err)
	}
	f, err := os.OpenFile(filepath.Join(mnt, "stub"), os.O_WRONLY, 0)
	must(t, err)
	if _, err := f.Write([]byte("x")); !errors.Is(err, unix.EIO) {
		t.Errorf("write to a metacopy file: %v; want EIO", err)
	}
	_ = f.Close()
	if b, err := os.ReadFile(filepath.Join(mnt, "hole")); err != nil || len(b) != 4096 {
		t.Errorf("read of a sparse file = %d bytes, %v", len(b), err)
	}
}

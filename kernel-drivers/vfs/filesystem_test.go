package vfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

func TestConformanceXFS(t *testing.T)   { conformanceOn(t, "xfs") }
func TestConformanceBtrfs(t *testing.T) { conformanceOn(t, "btrfs") }
func TestConformanceTmpfs(t *testing.T) { conformanceOn(t, "tmpfs") }

// conformanceOn runs the suite with all that the driver keeps on one filesystem.
func conformanceOn(t *testing.T, fstype string) {
	dir := drivertest.Filesystem(t, fstype, "")
	h := harness()
	h.New = func(t testing.TB) cow.Driver { return New(drivertest.TempDir(t, dir), nil) }
	h.Scratch = func(t testing.TB) string { return drivertest.TempDir(t, dir) }
	if fstype == "tmpfs" {
		h.Limits[cowtest.MappedWritesUnseen] = "tmpfs leaves times alone when a mapping is written to"
	}
	cowtest.Run(t, h)
}

// A copy takes no space of its own where the filesystem has reflinks.
func TestReflink(t *testing.T) {
	for _, fs := range []string{"xfs", "btrfs"} {
		t.Run(fs, func(t *testing.T) {
			dir := drivertest.Filesystem(t, fs, "")
			c := drivertest.Chain(t, cowtest.Layer{cowtest.File("big", strings.Repeat("0123456789abcdef", 4<<20))})
			d := New(filepath.Join(dir, "home"), nil)
			base, err := d.base(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			base.Release()
			before := used(t, dir)
			s := cow.Snapshot{Dir: filepath.Join(dir, "snap"), Base: c}
			if err := os.Mkdir(s.Dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := d.Create(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if more := used(t, dir) - before; more > 16<<20 {
				t.Errorf("a copy of a file of 64 MiB took %d bytes", more)
			}
		})
	}
}

// used is the space in use on the filesystem of dir, in bytes, once all is on disk.
func used(t *testing.T, dir string) int64 {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var st unix.Statfs_t
	if err := unix.Syncfs(fd); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fstatfs(fd, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize
}

func TestPrune(t *testing.T) {
	drivertest.NeedsRoot(t)
	keep := drivertest.Chain(t, cowtest.Layer{cowtest.File("f", "kept")})
	drop := drivertest.Chain(t, cowtest.Layer{cowtest.File("f", "dropped"), cowtest.Dir("locked").Perm(0)})
	d := New(t.TempDir(), nil)
	for _, c := range []cow.Chain{keep, drop} {
		b, err := d.base(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
	}
	if err := d.Prune(t.Context(), []cow.Chain{keep}); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(d.home, "trusted", "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != keep.ID.Encoded() {
		t.Errorf("after Prune: %q, %v", left, err)
	}
}

package btrfs

import (
	"os"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

func harness(dir string) cowtest.Harness {
	return cowtest.Harness{
		New:     func(t testing.TB) cow.Driver { return New(drivertest.TempDir(t, dir), nil) },
		Scratch: func(t testing.TB) string { return drivertest.TempDir(t, dir) },
		Chain:   drivertest.Chain[cowtest.Layer],
		Limits:  map[cowtest.Limit]string{cowtest.SourceIsFilesystem: "it is a bind mount"},
	}
}

func TestConformance(t *testing.T) {
	cowtest.Run(t, harness(drivertest.Filesystem(t, "btrfs", "")))
}

func TestConformanceRootless(t *testing.T) { rootless(t, "") }

func TestConformanceRootlessRemoval(t *testing.T) { rootless(t, "user_subvol_rm_allowed") }

// rootless runs the suite as an ordinary user on a filesystem with a mount option.
func rootless(t *testing.T, option string) {
	dir := drivertest.Filesystem(t, "btrfs", option)
	if sys.Root() {
		t.Setenv("TMPDIR", dir) // where the ordinary user gets his directory
	}
	cowtest.Rootless(t, func(t *testing.T) {
		h := harness(os.TempDir())
		h.Limits[cowtest.OwnersSquashed] = "no sub-uids"
		h.Limits[cowtest.DevicesLeftOut] = "mknod needs CAP_MKNOD in the initial user namespace"
		cowtest.Run(t, h)
	})
}

func BenchmarkDriver(b *testing.B) {
	cowtest.Bench(b, harness(drivertest.Filesystem(b, "btrfs", "")))
}

package overlay2

import (
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

func TestConformanceExt4(t *testing.T)  { conformanceOn(t, "ext4") }
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

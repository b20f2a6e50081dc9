package vfs

import (
	"path/filepath"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

func harness() cowtest.Harness {
	return cowtest.Harness{
		New:    func(t testing.TB) cow.Driver { return New(filepath.Join(t.TempDir(), "home"), nil) },
		Chain:  drivertest.Chain[cowtest.Layer],
		Limits: map[cowtest.Limit]string{cowtest.SourceIsFilesystem: "it is a bind mount"},
	}
}

func TestConformance(t *testing.T) {
	drivertest.NeedsRoot(t)
	cowtest.Run(t, harness())
}

func TestConformanceRootless(t *testing.T) {
	cowtest.Rootless(t, func(t *testing.T) {
		h := harness()
		h.Limits[cowtest.OwnersSquashed] = "no sub-uids"
		h.Limits[cowtest.DevicesLeftOut] = "mknod needs CAP_MKNOD in the initial user namespace"
		cowtest.Run(t, h)
	})
}

func BenchmarkDriver(b *testing.B) {
	drivertest.NeedsRoot(b)
	cowtest.Bench(b, harness())
}

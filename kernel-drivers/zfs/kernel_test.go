//go:build zfs

package zfs

import (
	"os"
	"testing"

	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// TestZFS is the suite, and what there is beside it, for hosts whose kernel has ZFS:
//
//	go test -tags zfs ./kernel-drivers/zfs
func TestZFS(t *testing.T) {
	drivertest.NeedsRoot(t)
	if u := sys.ProbeFilesystem("zfs", ""); u != nil {
		t.Fatal(u.Reason)
	}
	if os.Getenv(homeVar) == "" { // or the suite has started this process
		t.Run("own", func(t *testing.T) {
			own(t, mountKernel)
			for name, f := range map[string]func(*testing.T, *Driver){"limit": limits, "busy": removeBusy, "shared": shares} {
				t.Run(name, func(t *testing.T) { f(t, newDriver(t, os.Getenv(poolVar), mountKernel)) })
			}
		})
	}
	t.Run("conformance", func(t *testing.T) { cowtest.Run(t, harness(t, newPool(t), mountKernel)) })
}

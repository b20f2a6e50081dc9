package overlay2

import (
	"path/filepath"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

// packChain packs layers the way the store does.
func packChain(t testing.TB, layers ...cowtest.Layer) cow.Chain {
	t.Helper()
	return drivertest.Chain(t, layers...)
}

// limits are what overlayfs is known not to do (overlayfs.rst, "Non-standard behavior").
func limits() map[cowtest.Limit]string {
	return map[cowtest.Limit]string{
		cowtest.LinksBreakAtCopyUp: "index=off",
		cowtest.LinksEndAtLayer:    "overlayfs has no hard links across layers",
		cowtest.HiddenLinksCount:   "st_nlink is the lower inode's",
	}
}

func harness() cowtest.Harness {
	return cowtest.Harness{
		New:    func(t testing.TB) cow.Driver { return New(filepath.Join(t.TempDir(), "home"), nil) },
		Chain:  packChain,
		Limits: limits(),
	}
}

// On packed images, where the kernel can mount them.
func TestConformance(t *testing.T) {
	drivertest.NeedsRoot(t)
	cowtest.Run(t, harness())
}

func TestConformanceOnTrees(t *testing.T) {
	drivertest.NeedsRoot(t)
	h := harness()
	h.New = func(t testing.TB) cow.Driver { return onTrees(filepath.Join(t.TempDir(), "home")) }
	cowtest.Run(t, h)
}

func TestConformanceRootless(t *testing.T) {
	cowtest.Rootless(t, func(t *testing.T) { cowtest.Run(t, rootlessHarness()) })
}

func rootlessHarness() cowtest.Harness {
	h := harness()
	h.Limits[cowtest.OwnersSquashed] = "no sub-uids"
	h.Limits[cowtest.DevicesLeftOut] = "mknod needs CAP_MKNOD in the initial user namespace"
	h.Limits[cowtest.RenameDirEXDEV] = "redirect_dir needs trusted xattrs"
	h.Limits[cowtest.InodeMovesAtRemount] = "origins are file handles, which a user namespace can't open"
	h.Limits[cowtest.LinkMovesInode] = "the same"
	return h
}

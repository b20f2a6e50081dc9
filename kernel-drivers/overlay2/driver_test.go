package overlay2

import (
	"path/filepath"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// packChain packs layers the way the store does.
func packChain(t testing.TB, layers ...cowtest.Layer) cow.Chain {
	t.Helper()
	return drivertest.Chain(t, layers...)
}

// limits are what overlayfs is known not to do (overlayfs.rst, "Non-standard behavior").
func limits() map[cowtest.Limit]string {
	m := map[cowtest.Limit]string{
		cowtest.LinksBreakAtCopyUp: "index=off",
		cowtest.LinksEndAtLayer:    "overlayfs has no hard links across layers",
		cowtest.HiddenLinksCount:   "st_nlink is the lower inode's",
	}
	if !sys.KernelIs(6, 13) { // ovl_real_file() looks for the copy since then
		m[cowtest.StaleDescriptors] = "a lower file and its copy are two files"
	}
	return m
}

func harness() cowtest.Harness {
	return cowtest.Harness{
		New:    func(t testing.TB) cow.Driver { return New(filepath.Join(t.TempDir(), "home"), nil) },
		Chain:  packChain,
		Limits: limits(),
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
		h.Limits[cowtest.RenameDirEXDEV] = "redirect_dir needs trusted xattrs"
		h.Limits[cowtest.InodeMovesAtRemount] = "origins are file handles, which a user namespace can't open"
		h.Limits[cowtest.LinkMovesInode] = "the same"
		cowtest.Run(t, h)
	})
}

package overlay2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/layerpack"
)

// packChain packs layers the way the store does.
func packChain(t testing.TB, layers ...cowtest.Layer) cow.Chain {
	t.Helper()
	dir := t.TempDir()
	var c cow.Chain
	for _, l := range layers {
		var buf bytes.Buffer
		if err := l.WriteTar(&buf); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, digest.FromBytes(buf.Bytes()).Encoded())
		if err := os.Mkdir(at, 0o755); err == nil {
			if _, err := layerpack.Pack(context.Background(), &buf, at, layerpack.PackOptions{}); err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, os.ErrExist) { // the same layer twice is one
			t.Fatal(err)
		}
		c.Layers = append(c.Layers, cow.Layer{DiffID: digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(at)), Dir: at})
	}
	c.ID = chainID(c.Layers)
	return c
}

// limits are what overlayfs is known not to do (overlayfs.rst, "Non-standard behavior").
func limits() map[cowtest.Limit]string {
	m := map[cowtest.Limit]string{
		cowtest.LinksBreakAtCopyUp: "index=off",
		cowtest.LinksEndAtLayer:    "overlayfs has no hard links across layers",
		cowtest.HiddenLinksCount:   "st_nlink is the lower inode's",
	}
	if !kernelIs(6, 13) { // ovl_real_file() looks for the copy since then
		m[cowtest.StaleDescriptors] = "a lower file and its copy are two files"
	}
	return m
}

// kernelIs tells whether the kernel is at least major.minor.
func kernelIs(major, minor int) bool {
	var u unix.Utsname
	var a, b int
	if unix.Uname(&u) != nil {
		return false
	}
	fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b)
	return a > major || a == major && b >= minor
}

func harness() cowtest.Harness {
	return cowtest.Harness{
		New:    func(t testing.TB) cow.Driver { return New(filepath.Join(t.TempDir(), "home"), nil) },
		Chain:  packChain,
		Limits: limits(),
	}
}

func needsRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 || !privileged() {
		t.Skip("needs root in the initial user namespace, to mount overlayfs with trusted xattrs")
	}
}

func TestConformance(t *testing.T) {
	needsRoot(t)
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

package unionfs

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/layerpack"
)

// conformance is the union's harness: it has no limits.
func conformance() cowtest.Harness {
	return cowtest.Harness{
		New: func(t testing.TB) cow.Driver { return NewDriver(nil) },
		Chain: func(t testing.TB, layers ...cowtest.Layer) cow.Chain {
			t.Helper()
			dir := t.TempDir()
			c := cow.Chain{Index: filepath.Join(dir, "index")}
			for _, l := range layers {
				var tar bytes.Buffer
				must(t, l.WriteTar(&tar))
				id := digest.FromBytes(tar.Bytes())
				at := filepath.Join(dir, id.Encoded())
				if err := os.Mkdir(at, 0o755); err == nil {
					_, err := layerpack.Pack(context.Background(), &tar, at, layerpack.PackOptions{})
					must(t, err)
				} else if !errors.Is(err, os.ErrExist) {
					t.Fatal(err)
				}
				c.Layers = append(c.Layers, cow.Layer{DiffID: id, Dir: at})
			}
			must(t, layerpack.BuildIndex(context.Background(), c.Index, c.Layers))
			return c
		},
	}
}

func TestConformance(t *testing.T) {
	needMount(t)
	cowtest.Run(t, conformance())
}

// fuseNamespace marks a process whose mount namespace has a /dev/fuse for everybody.
const fuseNamespace = "UNIONFS_TEST_FUSE_FOR_ALL"

// TestConformanceRootless is the suite as root of a user namespace that an
// ordinary user made, who has no sub-uids.
func TestConformanceRootless(t *testing.T) {
	needMountTools(t)
	if os.Geteuid() == 0 && os.Getenv(fuseNamespace) == "" {
		dir := scratch(t)
		cmd := exec.Command("unshare", "-m", "sh", "-c",
			`cd `+dir+` && mknod fuse c 10 229 && chmod 666 fuse && mount --bind fuse /dev/fuse && exec "$0" "$@"`,
			os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=100s")
		cmd.Env = append(os.Environ(), fuseNamespace+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	cowtest.Rootless(t, func(t *testing.T) {
		h := conformance()
		h.Limits = map[cowtest.Limit]string{
			cowtest.OwnersSquashed:      "the user namespace knows one id",
			cowtest.InodeMovesAtRemount: "a symlink, fifo or socket can't carry the user attribute that keeps it",
		}
		cowtest.Run(t, h)
	})
}

// needMountTools skips where the test can't be root or become it.
func needMountTools(t *testing.T) {
	t.Helper()
	if err := NewDriver(nil).Probe(context.Background()); err != nil && os.Getenv(fuseNamespace) == "" {
		t.Skipf("needs FUSE: %v", err)
	}
}

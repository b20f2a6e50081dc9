package layersout

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/internal/treediff"
	"github.com/cfs-project/cfs/layerpack"
)

// inNamespace runs f as uid 0 of the user namespace of an ordinary user without
// sub-uids, who may open /dev/fuse.
func inNamespace(t *testing.T, f func(t *testing.T)) {
	testenv.AsUser(t, testenv.Single, func(t *testing.T, _ testenv.User) { cowtest.Rootless(t, f) })
}

// TestRandomChangesRootless is TestRandomChanges in the user namespace of an
// ordinary user without sub-uids: owners and modes are where that user may keep
// them, deletions too.
func TestRandomChangesRootless(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		for seed := range uint64(10) {
			dir := t.TempDir()
			c := chainOf(t, dir, base()...)
			for name, drv := range drivers(dir) {
				ign := treediff.Ignore{Devices: name != "union"} // trees have none
				if !t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) { randomChanges(t, name, drv, dir, c, seed, ign) }) {
					return
				}
			}
		}
	})
}

// TestOwnersRootless: who owned a file in the image owns it in the layer,
// though nobody else than the caller exists where it was changed.
func TestOwnersRootless(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		dir := t.TempDir()
		c := chainOf(t, dir, base()...)
		for name, drv := range drivers(dir) {
			t.Run(name, func(t *testing.T) {
				box := start(t, drv, dir, c)
				f, err := os.OpenFile(box.root+"/a/big", os.O_RDWR, 0)
				must(t, err)
				_, err = f.WriteAt([]byte("changed"), 5000)
				must(t, err)
				must(t, f.Close())
				must(t, os.WriteFile(box.root+"/d/new", nil, 0o600))
				tar, _, _ := layer(t, drv.Diff(t.Context(), box.snap), layerpack.WriteOptions{})
				var got []string
				for _, l := range tarList(t, tar) {
					f := strings.Fields(l)
					got = append(got, f[0]+f[1]+" "+f[2]+" "+f[5])
				}
				slices.Sort(got)
				want := []string{`0600 0:0 "d/new"`, `0600 1000:1000 "a/big"`, `51777 7:8 "d/"`, `5755 0:0 "a/"`}
				if !slices.Equal(want, got) {
					t.Errorf("want %q, got %q", want, got)
				}
			})
		}
	})
}

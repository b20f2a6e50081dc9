package layersout

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/treediff"
	"github.com/cfs-project/cfs/layerpack"
)

// plant puts what a chain shows into a plain directory.
func plant(t testing.TB, dir string, c cow.Chain) (tree string) {
	t.Helper()
	shown(t, dir, c, func(root string) { tree = copyTree(t, dir, root) })
	return tree
}

func copyTree(t testing.TB, dir, from string) string {
	t.Helper()
	to, err := os.MkdirTemp(dir, "tree")
	must(t, err)
	if out, err := exec.Command("cp", "-a", "--sparse=always", from+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	return to
}

// compare is what makes a layer of the difference of two trees.
func compare(t testing.TB, before, after string) ([]byte, []string) {
	t.Helper()
	b, err := cow.OpenTree(before)
	must(t, err)
	defer b.Close()
	tar, _, listed := layer(t, cow.Compare(b, after), layerpack.WriteOptions{DirTimes: true})
	return tar, listed
}

// TestRandomTrees: a tree becomes a layer and is the same again, and so is the
// difference of two trees, and both in one.
func TestRandomTrees(t *testing.T) {
	needRoot(t)
	for seed := range uint64(12) {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir := t.TempDir()
			empty, err := os.MkdirTemp(dir, "empty")
			must(t, err)
			before := plant(t, dir, chainOf(t, dir, base()...))
			p := &player{Rand: rand.New(rand.NewPCG(seed, 4)), root: before}
			for range 60 {
				p.step()
			}
			after := copyTree(t, dir, before)
			p.root = after
			for range 10 + 10*seed {
				p.step()
			}
			first, listed := compare(t, empty, before)
			one := pack(t, dir, first)
			same(t, walk(t, before), view(t, dir, chain(t, dir, one)), listed, treediff.Ignore{})
			second, listed := compare(t, before, after)
			two := pack(t, dir, second)
			want := walk(t, after)
			same(t, want, view(t, dir, chain(t, dir, one, two)), listed, treediff.Ignore{})
			f, err := os.CreateTemp(dir, "squashed")
			must(t, err)
			defer f.Close()
			_, err = layerpack.Squash(t.Context(), f, []cow.Layer{one, two}, layerpack.WriteOptions{Compression: layerpack.Zstd})
			must(t, err)
			_, err = f.Seek(0, unix.SEEK_SET)
			must(t, err)
			same(t, want, view(t, dir, chain(t, dir, pack(t, dir, readAll(t, f)))), listed, treediff.Ignore{})
			if t.Failed() {
				t.Logf("%d operations:\n%q", len(p.did), p.did)
			}
		})
		if !ok {
			return
		}
	}
}

package overlay2

import (
	"fmt"
	"os"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

func TestMergedLayers(t *testing.T) {
	for _, most := range []int{150, 400} {
		for n := range 1200 {
			m := mergedLayers(n, most)
			lowers := n
			if m > 0 {
				lowers = n - m + 1
			}
			if m > n || lowers > most || n <= most && m != 0 {
				t.Fatalf("of %d layers %d are merged, which leaves %d lowers", n, m, lowers)
			}
		}
	}
}

// More layers than the kernel stacks, and what lies in them at both ends.
func TestMoreLayersThanTheKernelStacks(t *testing.T) {
	drivertest.NeedsRoot(t)
	const n = 510
	layers := []cowtest.Layer{{cowtest.Dir("d"), cowtest.File("d/first", "first"), cowtest.File("d/gone", "gone"), cowtest.File("top", "0")}}
	for i := 1; i < n; i++ {
		l := cowtest.Layer{cowtest.File("top", fmt.Sprint(i))}
		switch i {
		case 20: // among the merged ones
			l = append(l, cowtest.Whiteout("d/gone"), cowtest.File("d/x", "x"))
		case n - 20:
			l = append(l, cowtest.Whiteout("d/x"))
		}
		layers = append(layers, l)
	}
	d := onTrees(t.TempDir())
	s := cow.Snapshot{Dir: t.TempDir(), Base: packChain(t, layers...)}
	if err := d.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	m, err := d.Mount(t.Context(), s, target, cow.MountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target + "/top"); string(got) != fmt.Sprint(n-1) {
		t.Errorf("top is %q, %v", got, err)
	}
	names, err := os.ReadDir(target + "/d")
	if err != nil || len(names) != 1 || names[0].Name() != "first" {
		t.Errorf("d has %v, %v", names, err)
	}
	if err := os.Remove(target + "/d/first"); err != nil {
		t.Error(err)
	}
	if err := m.Unmount(); err != nil {
		t.Fatal(err)
	}
	var changes []string
	for c, err := range d.Changes(t.Context(), s) {
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, c.Kind.String()+" "+c.Path)
	}
	if fmt.Sprint(changes) != "[C /d D /d/first]" {
		t.Errorf("changes: %v", changes)
	}
	before := len(trees(t, d))
	if err := d.Prune(t.Context(), []cow.Chain{s.Base}); err != nil {
		t.Fatal(err)
	}
	if after := len(trees(t, d)); after != before || after > 400 {
		t.Errorf("%d trees, and %d after Prune", before, after)
	}
}

package overlay2

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/attach"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
	"github.com/cfs-project/cfs/whiteout"
)

func twoLayers() []cowtest.Layer {
	return []cowtest.Layer{
		{cowtest.Dir("d"), cowtest.File("d/a", "one"), cowtest.File("b", "b")},
		{cowtest.Whiteout("d/a"), cowtest.File("d/c", "two")},
	}
}

// onTrees is a driver that extracts every image.
func onTrees(home string) *Driver {
	d := New(home, nil)
	d.noPacked = true
	return d
}

// trees are what the group's directory holds.
func trees(t *testing.T, d *Driver) []string {
	t.Helper()
	group, err := tree.OwnGroup(d.home)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(group.Dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestTreesAreExtractedOnceByMany(t *testing.T) {
	drivertest.NeedsRoot(t)
	c := packChain(t, twoLayers()...)
	home := t.TempDir()
	var wg sync.WaitGroup
	inodes := make(chan uint64, 16)
	for range 8 {
		wg.Go(func() {
			st, err := onTrees(home).stack(t.Context(), c)
			if err != nil {
				t.Error(err)
				return
			}
			defer st.release()
			for _, p := range st.paths() {
				var s unix.Stat_t
				if err := unix.Stat(p, &s); err != nil {
					t.Error(err)
				}
				inodes <- s.Ino
			}
		})
	}
	wg.Wait()
	close(inodes)
	seen := map[uint64]bool{}
	for i := range inodes {
		seen[i] = true
	}
	if len(seen) != 2 {
		t.Errorf("%d trees were seen, want 2", len(seen))
	}
	if got := trees(t, onTrees(home)); len(got) != 2 {
		t.Errorf("the group holds %q", got)
	}
}

func TestKilledExtractionIsDoneAgain(t *testing.T) {
	drivertest.NeedsRoot(t)
	c := packChain(t, twoLayers()...)
	d := onTrees(t.TempDir())
	left := filepath.Join(d.home, "trusted", tree.ChainID(c.Layers[:1]).Encoded()+tree.TempSuffix)
	if err := os.MkdirAll(filepath.Join(left, "half", "done"), 0o755); err != nil {
		t.Fatal(err)
	}
	st, err := d.stack(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer st.release()
	if _, err := os.Lstat(filepath.Join(st.trees[0].Path, "half")); !os.IsNotExist(err) {
		t.Errorf("what a killed process left is in the tree: %v", err)
	}
}

func TestSameLayerOnAnotherChainIsAnotherTree(t *testing.T) {
	drivertest.NeedsRoot(t)
	d := onTrees(t.TempDir())
	l := twoLayers()
	for _, c := range []cow.Chain{packChain(t, l[0], l[1]), packChain(t, l[1])} {
		st, err := d.stack(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		st.release()
	}
	if got := trees(t, d); len(got) != 3 {
		t.Errorf("trees: %q, want 3", got)
	}
}

func TestStackWaitsAndGivesUp(t *testing.T) {
	drivertest.NeedsRoot(t)
	c := packChain(t, twoLayers()...)
	d := onTrees(t.TempDir())
	temp := filepath.Join(d.home, "trusted", tree.ChainID(c.Layers[:1]).Encoded()+tree.TempSuffix)
	if err := os.MkdirAll(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(temp)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*tree.LockPoll)
	defer cancel()
	if _, err := d.stack(ctx, c); err == nil || !strings.Contains(err.Error(), temp) {
		t.Errorf("while another extracts: %v", err)
	}
}

func TestPrune(t *testing.T) {
	drivertest.NeedsRoot(t)
	keep, drop, used := packChain(t, twoLayers()...), packChain(t, cowtest.Layer{cowtest.Dir("locked").Perm(0)}), packChain(t, cowtest.Layer{cowtest.File("u", "u")})
	d := onTrees(t.TempDir())
	for _, c := range []cow.Chain{keep, drop} {
		st, err := d.stack(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		st.release()
	}
	target := t.TempDir()
	m, err := d.Mount(t.Context(), cow.Snapshot{Base: used}, target, cow.MountOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Prune(t.Context(), []cow.Chain{keep}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(target + "/u"); err != nil {
		t.Errorf("a mounted tree was pruned: %v", err)
	}
	if err := m.Unmount(); err != nil {
		t.Fatal(err)
	}
	if got := trees(t, d); len(got) != 4 { // two of keep, one in use, one empty directory
		t.Errorf("after Prune: %q", got)
	}
	if err := d.Prune(t.Context(), []cow.Chain{keep}); err != nil {
		t.Fatal(err)
	}
	if got := trees(t, d); len(got) != 3 {
		t.Errorf("after the mount went: %q", got)
	}
}

func TestMountTheOldWay(t *testing.T) {
	drivertest.NeedsRoot(t)
	d := onTrees(t.TempDir())
	s := cow.Snapshot{Dir: t.TempDir(), Base: packChain(t, twoLayers()...)}
	if err := d.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	st, err := d.stack(t.Context(), s.Base)
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.plan(st, s, cow.MountOptions{Source: "src"})
	if err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	if err := p.attachOld(target); err != nil {
		t.Fatal(err)
	}
	m, err := attach.Watch(target, st.release)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target + "/d/c"); string(got) != "two" {
		t.Errorf("d/c is %q, %v", got, err)
	}
	if err := os.WriteFile(target+"/d/new", nil, 0o644); err != nil {
		t.Error(err)
	}
	if err := m.Unmount(); err != nil {
		t.Error(err)
	}
	many := &plan{lowers: make([]string, 300)}
	for i := range many.lowers {
		many.lowers[i] = s.Dir
	}
	if err := many.attachOld(target); err == nil || !strings.Contains(err.Error(), "300 layers") {
		t.Errorf("300 layers: %v", err)
	}
}

func TestLongPaths(t *testing.T) {
	drivertest.NeedsRoot(t)
	home := filepath.Join(t.TempDir(), strings.Repeat("h", 150), strings.Repeat("o,:\\", 40))
	d := onTrees(home)
	s := cow.Snapshot{Dir: filepath.Join(home, "snap"), Base: packChain(t, twoLayers()...)}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	m, err := d.Mount(t.Context(), s, target, cow.MountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target + "/d/c"); string(got) != "two" {
		t.Errorf("d/c is %q, %v", got, err)
	}
	if err := m.Unmount(); err != nil {
		t.Error(err)
	}
}

func TestCoveredMountIsBusy(t *testing.T) {
	drivertest.NeedsRoot(t)
	d := onTrees(t.TempDir())
	target := t.TempDir()
	m, err := d.Mount(t.Context(), cow.Snapshot{Base: packChain(t, twoLayers()...)}, target, cow.MountOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("cover", target, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := m.Unmount(); !errors.Is(err, unix.EBUSY) {
		t.Errorf("unmounting what another mount covers: %v", err)
	}
	if err := unix.Unmount(target, 0); err != nil {
		t.Fatal(err)
	}
	if err := m.Unmount(); err != nil {
		t.Error(err)
	}
	select {
	case <-m.Done():
	case <-time.After(time.Second):
		t.Error("Done is open")
	}
	if err := m.Unmount(); err != nil {
		t.Errorf("Unmount again: %v", err)
	}
}

func TestForeignUpperIsRefused(t *testing.T) {
	upper := t.TempDir()
	if err := os.MkdirAll(upper+"/a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(upper+"/a/f", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	marks := []whiteout.Key{whiteout.KeyRedirect, whiteout.KeyMetacopy}
	if err := refuseForeign(upper, whiteout.UserXattr, marks...); err != nil {
		t.Errorf("an upper of our own: %v", err)
	}
	for path, key := range map[string]whiteout.Key{"a/b": whiteout.KeyRedirect, "a/f": whiteout.KeyMetacopy} {
		name := whiteout.UserXattr.Name(key)
		if err := unix.Setxattr(filepath.Join(upper, path), name, []byte("/x"), 0); err != nil {
			t.Skipf("no user xattrs in %s: %v", upper, err)
		}
		if err := refuseForeign(upper, whiteout.UserXattr, marks...); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s on %s: %v", key, path, err)
		}
		if err := unix.Removexattr(filepath.Join(upper, path), name); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkDriver(b *testing.B) {
	drivertest.NeedsRoot(b)
	cowtest.Bench(b, harness())
}

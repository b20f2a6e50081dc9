package btrfs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

// made is a driver with a snapshot of layers.
func made(t *testing.T, layers ...cowtest.Layer) (*Driver, cow.Snapshot) {
	t.Helper()
	dir := drivertest.TempDir(t, drivertest.Filesystem(t, "btrfs", ""))
	d := New(filepath.Join(dir, "home"), nil)
	s := cow.Snapshot{Dir: filepath.Join(dir, "snap"), Base: drivertest.Chain(t, layers...)}
	if err := os.Mkdir(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return d, s
}

// inode is what the snapshot and the bases have at a path.
func inode(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

func TestLayersShareWhatTheyDontChange(t *testing.T) {
	lower := cowtest.Layer{cowtest.File("kept", "k"), cowtest.File("changed", "before"), cowtest.Dir("d"), cowtest.File("d/f", "f")}
	d, s := made(t, lower, cowtest.Layer{cowtest.File("changed", "after"), cowtest.Hardlink("d/link", "kept")})
	below, err := d.base(t.Context(), s.Base.Layers[:1])
	if err != nil {
		t.Fatal(err)
	}
	defer below.Release()
	snap := filepath.Join(s.Dir, volumeName)
	for _, name := range []string{"kept", "d/f", "d"} {
		if a, b := inode(t, filepath.Join(below.Path, name)), inode(t, filepath.Join(snap, name)); a.Ino != b.Ino || a.Dev == b.Dev {
			t.Errorf("%s: inode %d on device %d below, %d on %d in the snapshot", name, a.Ino, a.Dev, b.Ino, b.Dev)
		}
	}
	if a, b := inode(t, filepath.Join(snap, "kept")), inode(t, filepath.Join(snap, "d/link")); a.Ino != b.Ino || a.Nlink != 2 {
		t.Errorf("a link to a file of a layer below: inodes %d and %d, %d links", a.Ino, b.Ino, a.Nlink)
	}
	if got, _ := os.ReadFile(filepath.Join(snap, "changed")); string(got) != "after" {
		t.Errorf("changed is %q", got)
	}
}

func TestRemoveWithASubvolumeInside(t *testing.T) {
	d, s := made(t, cowtest.Layer{cowtest.Dir("d")})
	inner := filepath.Join(s.Dir, volumeName, "d", "inner")
	if err := subvolumeAt(inner); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(inner, "f"), []byte("f"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestPruneKeepsWhatChainsStandOn(t *testing.T) {
	d, s := made(t, cowtest.Layer{cowtest.File("a", "a")}, cowtest.Layer{cowtest.File("b", "b")})
	other := drivertest.Chain(t, cowtest.Layer{cowtest.File("c", "c")})
	b, err := d.base(t.Context(), other.Layers)
	if err != nil {
		t.Fatal(err)
	}
	group, err := d.group()
	if err != nil {
		t.Fatal(err)
	}
	count := func() int {
		all, err := filepath.Glob(filepath.Join(group.Dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if n := count(); n != 4 { // two, one, and the empty one below both
		t.Errorf("%d bases, want 4", n)
	}
	if err := d.Prune(t.Context(), []cow.Chain{s.Base}); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 4 {
		t.Errorf("%d bases while one is in use, want 4", n)
	}
	b.Release()
	if err := d.Prune(t.Context(), []cow.Chain{s.Base}); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 3 {
		t.Errorf("%d bases after Prune, want 3", n)
	}
	if err := d.Prune(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d bases after all were pruned", n)
	}
	if got, err := os.ReadFile(filepath.Join(s.Dir, volumeName, "b")); string(got) != "b" {
		t.Errorf("a snapshot without its base: %q, %v", got, err)
	}
}

func TestKilledBaseIsMadeAgain(t *testing.T) {
	d, s := made(t)
	c := drivertest.Chain(t, cowtest.Layer{cowtest.File("f", "f")})
	group, err := d.group()
	if err != nil {
		t.Fatal(err)
	}
	temp := filepath.Join(group.Dir, c.ID.Encoded()+tree.TempSuffix)
	if err := snapshotAt(filepath.Join(s.Dir, volumeName), temp); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(temp, "half"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := d.base(t.Context(), c.Layers)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	if _, err := os.Lstat(filepath.Join(b.Path, "half")); !os.IsNotExist(err) {
		t.Errorf("what a killed process left is in the base: %v", err)
	}
}

func TestLimit(t *testing.T) {
	d, s := made(t, cowtest.Layer{cowtest.File("big", strings.Repeat("x", 8<<20))})
	var u *cow.Unusable
	if err := d.Limit(t.Context(), s, 4<<20); !errors.As(err, &u) || !strings.Contains(u.Hint, "quota enable") {
		t.Fatalf("without quotas: %v", err)
	}
	if out, err := exec.Command("btrfs", "quota", "enable", s.Dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no quotas on btrfs: %v: %s", err, out)
	}
	if err := d.Limit(t.Context(), s, 4<<20); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(s.Dir, volumeName)
	write := func(name string, size int) error {
		f, err := os.Create(filepath.Join(at, name))
		if err != nil {
			return err
		}
		_, err = f.Write(make([]byte, size))
		return errors.Join(err, f.Sync(), f.Close())
	}
	if err := write("fits", 1<<20); err != nil {
		t.Errorf("within the limit: %v", err)
	}
	if err := write("too much", 6<<20); !errors.Is(err, unix.EDQUOT) {
		t.Errorf("beyond the limit: %v, want EDQUOT", err)
	}
	if err := d.Limit(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	if err := write("enough", 6<<20); err != nil {
		t.Errorf("after the limit was lifted: %v", err)
	}
}

func TestProbe(t *testing.T) {
	if err := New(filepath.Join(drivertest.Filesystem(t, "btrfs", ""), "not", "there"), nil).Probe(t.Context()); err != nil {
		t.Errorf("on btrfs: %v", err)
	}
	var u *cow.Unusable
	if err := New("/proc", nil).Probe(t.Context()); !errors.As(err, &u) || u.Driver != Name || !strings.Contains(u.Reason, "not on btrfs") || u.Hint == "" {
		t.Errorf("elsewhere: %v", err)
	}
}

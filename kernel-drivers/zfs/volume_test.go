package zfs

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

// made is a snapshot of layers.
func made(t *testing.T, d *Driver, layers ...cowtest.Layer) cow.Snapshot {
	t.Helper()
	s := cow.Snapshot{Dir: t.TempDir(), Base: drivertest.Chain(t, layers...)}
	if err := d.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// mounted mounts a snapshot until t ends, or umount is called.
func mounted(t *testing.T, d *Driver, s cow.Snapshot) (at string, umount func()) {
	t.Helper()
	at = t.TempDir()
	m, err := d.Mount(t.Context(), s, at, cow.MountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	umount = func() {
		t.Helper()
		if err := m.Unmount(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(umount)
	return at, umount
}

func removed(t *testing.T, d *Driver, s cow.Snapshot) {
	t.Helper()
	if err := d.Remove(t.Context(), s); err != nil {
		t.Error(err)
	}
}

// count is how many datasets, or snapshots of them, there are in the parent.
func count(t *testing.T, d *Driver) int {
	t.Helper()
	parent, err := d.parent()
	if err != nil {
		t.Fatal(err)
	}
	return len(datasets(t, parent)) - 1
}

// names checks which datasets there are for two snapshots, and how they are made.
func names(t *testing.T, d *Driver) {
	lower := cowtest.Layer{cowtest.File("f", "f")}
	one := made(t, d, lower, cowtest.Layer{cowtest.File("g", "g")})
	other := made(t, d, lower, cowtest.Layer{cowtest.File("h", "h")})
	// Three bases and one of no layers, with a snapshot each, and two snapshots.
	if n := count(t, d); n != 4*2+2 {
		t.Errorf("%d datasets, want 10", n)
	}
	for _, s := range []cow.Snapshot{one, other} {
		r, err := readRecord(filepath.Join(s.Dir, volumeName))
		if err != nil {
			t.Fatal(err)
		}
		for property, want := range map[string]string{"mountpoint": "legacy", "com.sun:auto-snapshot": "false", "quota": "none", doomedProperty: "-"} {
			if got, err := get(t.Context(), property, r.Dataset); got != want || err != nil {
				t.Errorf("%s of %s is %s, %v, want %s", property, r.Dataset, got, err, want)
			}
		}
		removed(t, d, s)
	}
}

func quotas(t *testing.T, d *Driver) {
	s := made(t, d, cowtest.Layer{cowtest.File("f", "f")})
	r, err := readRecord(filepath.Join(s.Dir, volumeName))
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int64]string{4 << 20: "4M", 0: "none"} {
		if err := d.Limit(t.Context(), s, size); err != nil {
			t.Fatal(err)
		}
		if got, err := get(t.Context(), "quota", r.Dataset); got != want || err != nil {
			t.Errorf("the quota is %s, %v, want %s", got, err, want)
		}
	}
	removed(t, d, s)
}

// Of what a snapshot shares with others it has nothing for itself.
func shares(t *testing.T, d *Driver) {
	s := made(t, d, cowtest.Layer{cowtest.File("big", strings.Repeat("0123456789abcdef", 1<<17))}, cowtest.Layer{cowtest.File("f", "f")})
	r, err := readRecord(filepath.Join(s.Dir, volumeName))
	if err != nil {
		t.Fatal(err)
	}
	used, err := run(t.Context(), "get", "-H", "-p", "-o", "value", "used", r.Dataset)
	if n, perr := strconv.Atoi(strings.TrimSpace(used)); err != nil || perr != nil || n > 1<<20 {
		t.Errorf("a snapshot of 2 MiB has %s bytes for itself, %v", used, err)
	}
	removed(t, d, s)
}

func limits(t *testing.T, d *Driver) {
	s := made(t, d, cowtest.Layer{cowtest.File("big", strings.Repeat("0123456789abcdef", 1<<19))})
	if err := d.Limit(t.Context(), s, 4<<20); err != nil {
		t.Fatal(err)
	}
	at, umount := mounted(t, d, s)
	if err := drivertest.Fill(filepath.Join(at, "fits"), 1<<20); err != nil {
		t.Errorf("within the limit: %v", err)
	}
	if err := fillRandom(filepath.Join(at, "too much"), 16<<20); !errors.Is(err, unix.EDQUOT) && !errors.Is(err, unix.ENOSPC) {
		t.Errorf("beyond the limit: %v, want EDQUOT", err)
	}
	if err := d.Limit(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	if err := fillRandom(filepath.Join(at, "enough"), 16<<20); err != nil {
		t.Errorf("after the limit was lifted: %v", err)
	}
	umount()
	removed(t, d, s)
}

// fillRandom writes what can't be compressed, a MiB at a time.
func fillRandom(name string, size int) error {
	random, err := os.Open("/dev/urandom")
	if err != nil {
		return err
	}
	defer random.Close()
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for range size >> 20 {
		if _, err := random.Read(buf); err != nil {
			return errors.Join(err, f.Close())
		}
		if _, err := f.Write(buf); err != nil {
			return errors.Join(err, f.Close())
		}
		if err := f.Sync(); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

func prunes(t *testing.T, d *Driver) {
	s := made(t, d, cowtest.Layer{cowtest.File("a", "a")}, cowtest.Layer{cowtest.File("b", "b")})
	if err := d.Prune(t.Context(), []cow.Chain{s.Base}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, d); n != 3*2+1 {
		t.Errorf("%d datasets after a Prune that keeps all, want 7", n)
	}
	// The bases can't go while there is a clone of them, but nobody finds them any more.
	if err := d.Prune(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := count(t, d); n != 3*2+1 {
		t.Errorf("%d datasets while one is a clone of them, want 7", n)
	}
	at, umount := mounted(t, d, s)
	if got, err := os.ReadFile(filepath.Join(at, "b")); string(got) != "b" {
		t.Errorf("a snapshot without its base: %q, %v", got, err)
	}
	umount()
	again := cow.Snapshot{Dir: t.TempDir(), Base: s.Base}
	if err := d.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if n := count(t, d); n != 2*(3*2+1) {
		t.Errorf("%d datasets when the bases were made again, want 14", n)
	}
	removed(t, d, s) // and with it what it was a clone of
	if n := count(t, d); n != 3*2+1 {
		t.Errorf("%d datasets after the last clone was removed, want 7", n)
	}
	removed(t, d, again)
	if err := d.Prune(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := count(t, d); n != 0 {
		t.Errorf("%d datasets after all were pruned", n)
	}
}

// What is open somewhere is removed as far as anybody can see, and destroyed later.
func removeBusy(t *testing.T, d *Driver) {
	s := made(t, d, cowtest.Layer{cowtest.File("a", "a")})
	at, umount := mounted(t, d, s)
	f, err := os.Open(filepath.Join(at, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	removed(t, d, s)
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if got, err := io.ReadAll(f); string(got) != "a" {
		t.Errorf("what is open has %q, %v", got, err)
	}
	f.Close()
	umount()
	if err := d.Prune(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := count(t, d); n != 0 {
		t.Errorf("%d datasets after Prune", n)
	}
}

// What a process that was killed has made of a base is not taken for one.
func halfMade(t *testing.T, d *Driver) {
	c := drivertest.Chain(t, cowtest.Layer{cowtest.File("f", "f")})
	group, err := tree.OwnGroup(d.Home)
	if err != nil {
		t.Fatal(err)
	}
	temp := filepath.Join(group.Dir, c.ID.Encoded()+tree.TempSuffix)
	if err := os.MkdirAll(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	below, err := d.Base(t.Context(), c.Layers[:0])
	if err != nil {
		t.Fatal(err)
	}
	err = d.cloneOf(t.Context(), below.Path, temp)
	below.Release()
	if err != nil {
		t.Fatal(err)
	}
	m, err := d.mounted(t.Context(), temp, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	err = os.WriteFile(m.Root()+"/half", nil, 0o644)
	m.Close()
	if err != nil {
		t.Fatal(err)
	}
	s := cow.Snapshot{Dir: t.TempDir(), Base: c}
	if err := d.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	at, umount := mounted(t, d, s)
	if _, err := os.Lstat(filepath.Join(at, "half")); !os.IsNotExist(err) {
		t.Errorf("what a killed process left is in the base: %v", err)
	}
	umount()
	if n := count(t, d); n != 2*2+1 {
		t.Errorf("%d datasets, want 5", n)
	}
	removed(t, d, s)
}

// The parent stays while there are layers in it.
func parents(t *testing.T, d *Driver) {
	s := made(t, d, cowtest.Layer{cowtest.File("a", "a")})
	var u *cow.Unusable
	if err := d.SetOptions(t.Context(), map[string]string{optParent: "another/one"}); !errors.As(err, &u) || u.Hint == "" {
		t.Errorf("another parent while there are layers: %v", err)
	}
	removed(t, d, s)
	if err := d.Prune(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	was, err := d.parent()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"another/one", was} {
		if err := d.SetOptions(t.Context(), map[string]string{optParent: name}); err != nil {
			t.Error(err)
		}
	}
}

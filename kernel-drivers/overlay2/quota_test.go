package overlay2

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

// limited is a mounted snapshot of an image of 8 MiB on XFS with project quotas,
// bounded to 4 MiB.
func limited(t *testing.T) (d *Driver, s cow.Snapshot, target string, unmount func()) {
	t.Helper()
	dir := drivertest.Filesystem(t, "xfs", "prjquota")
	d = New(filepath.Join(dir, "home"), nil)
	s = cow.Snapshot{Dir: drivertest.TempDir(t, dir), Base: packChain(t, cowtest.Layer{
		cowtest.File("big", strings.Repeat("x", 8<<20)), cowtest.Dir("d"), cowtest.File("d/f", "f"),
	})}
	if err := d.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := d.Limit(t.Context(), s, 4<<20); err != nil {
		t.Fatal(err)
	}
	target = t.TempDir()
	m, err := d.Mount(t.Context(), s, target, cow.MountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d, s, target, func() {
		if err := m.Unmount(); err != nil {
			t.Error(err)
		}
	}
}

// TestLimits goes to QEMU where this kernel knows no project quotas.
func TestLimits(t *testing.T) {
	if !drivertest.Mounts(t, "xfs", "prjquota") {
		drivertest.InVM(t, "^TestLimits$")
		return
	}
	t.Run("bound", limitBounds)
	t.Run("apart", limitsAreApart)
}

func limitBounds(t *testing.T) {
	d, s, target, unmount := limited(t)
	if err := drivertest.Fill(target+"/fits", 1<<20); err != nil {
		t.Errorf("within the limit: %v", err)
	}
	if err := drivertest.Fill(target+"/d/new", 1<<20); err != nil {
		t.Errorf("in a directory of the image: %v", err)
	}
	if err := os.Rename(target+"/d", target+"/e"); err != nil {
		t.Errorf("renaming a directory of the image: %v", err)
	}
	if err := drivertest.Fill(target+"/too much", 6<<20); !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		t.Errorf("beyond the limit: %v, want ENOSPC", err)
	}
	if _, err := os.OpenFile(target+"/big", os.O_WRONLY, 0); !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		t.Errorf("copying up a larger file than the limit: %v, want ENOSPC", err)
	}
	if err := os.Remove(target + "/too much"); err != nil {
		t.Fatal(err)
	}
	if err := d.Limit(t.Context(), s, 16<<20); err != nil {
		t.Fatal(err)
	}
	if err := drivertest.Fill(target+"/enough", 6<<20); err != nil {
		t.Errorf("after the limit was raised: %v", err)
	}
	unmount()
	if err := d.Remove(t.Context(), s); err != nil {
		t.Error(err)
	}
}

func limitsAreApart(t *testing.T) {
	_, s, _, unmount := limited(t)
	defer unmount()
	_, other, _, unmountOther := limited(t)
	defer unmountOther()
	var ids []uint32
	for _, snap := range []cow.Snapshot{s, other} {
		dir, err := os.Open(filepath.Join(snap.Dir, upperName))
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		id, err := projectOf(int(dir.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if ids[0] == 0 || ids[0] == ids[1] {
		t.Errorf("the projects of two snapshots are %v", ids)
	}
}

func TestLimitNeedsQuotas(t *testing.T) {
	for _, fs := range []string{"tmpfs", "btrfs", "xfs"} {
		t.Run(fs, func(t *testing.T) {
			dir := drivertest.Filesystem(t, fs, "")
			d := New(filepath.Join(dir, "home"), nil)
			s := cow.Snapshot{Dir: drivertest.TempDir(t, dir), Base: packChain(t)}
			if err := d.Create(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			var u *cow.Unusable
			if err := d.Limit(t.Context(), s, 1<<20); !errors.As(err, &u) || u.Hint == "" {
				t.Errorf("without quotas: %v", err)
			}
		})
	}
}

package zfs

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// own is what there is to test beside the suite, with a pool of its own.
func own(t *testing.T, mount mounter) {
	drivertest.Live(t, mortal(mount))
	pool := newPool(t)
	for _, c := range []struct {
		name string
		run  func(*testing.T, *Driver)
	}{{"datasets", names}, {"prune", prunes}, {"half", halfMade}, {"parent", parents}, {"kill", kills}} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newDriver(t, pool, mount)) })
	}
}

// Names of variables that tell processes which a test starts of the pool and the home.
const (
	poolVar = "ZFS_POOL"
	homeVar = "ZFS_HOME"
)

// newPool makes a pool in a file, which is empty again and gone when t ends.
func newPool(t *testing.T) string {
	t.Helper()
	if pool := os.Getenv(poolVar); pool != "" { // that of the test that started this process
		return pool
	}
	const pool = "cfstest"
	file := filepath.Join(shm(t), "pool")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 1<<30); err != nil {
		t.Fatal(err)
	}
	zpool(t, "create", "-O", "mountpoint=none", "-m", "none", pool, file)
	t.Cleanup(func() {
		if left := datasets(t, pool); len(left) > 1 {
			t.Errorf("left in the pool: %v", left)
		}
		zpool(t, "destroy", pool)
	})
	t.Setenv(poolVar, pool)
	return pool
}

// shm is a directory in memory.
func shm(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "cfs-zfs-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func zpool(t *testing.T, args ...string) {
	t.Helper()
	program, err := sys.Program("zpool")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("zpool %v: %v: %s", args, err, bytes.TrimSpace(out))
	}
}

// datasets are all filesystems and snapshots below a dataset, itself included.
func datasets(t *testing.T, of string) []string {
	t.Helper()
	out, err := run(context.Background(), "list", "-H", "-r", "-t", "filesystem,snapshot", "-o", "name", of)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(out), "\n")
}

// newDriver is a driver with a parent of its own in the pool, which is empty when t ends.
func newDriver(t *testing.T, pool string, mount mounter) *Driver {
	t.Helper()
	home := os.Getenv(homeVar)
	if home == "" {
		home = filepath.Join(t.TempDir(), "home")
		parent := pool + "/" + strings.ReplaceAll(t.Name(), "/", "-")
		if _, err := run(t.Context(), "create", "-o", "mountpoint=none", parent); err != nil {
			t.Fatal(err)
		}
		if err := New(home, nil).SetOptions(t.Context(), map[string]string{optParent: parent}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx := context.Background() // t's is over
			d := New(home, nil)
			if err := d.Prune(ctx, nil); err != nil {
				t.Error(err)
			}
			if left := datasets(t, parent); len(left) > 1 {
				t.Errorf("left after all was pruned: %v", left)
				run(ctx, "destroy", "-R", parent)
				return
			}
			if _, err := run(ctx, "destroy", parent); err != nil {
				t.Error(err)
			}
		})
	}
	d := New(home, nil)
	d.mount = mount
	return d
}

// harness is that of a driver for all that t does, whose snapshots are removed at the end of
// each case.
func harness(t *testing.T, pool string, mount mounter) cowtest.Harness {
	d := newDriver(t, pool, mount)
	t.Setenv(homeVar, d.Home)
	limits := map[cowtest.Limit]string{cowtest.SourceIsFilesystem: "the source is the dataset"}
	if version, err := os.ReadFile("/sys/module/zfs/version"); err == nil && strings.HasPrefix(string(version), "2.1.") {
		limits[cowtest.NoRenameFlags] = "ZFS has them from 2.2 on"
	}
	return cowtest.Harness{
		New: func(t testing.TB) cow.Driver { return d },
		Scratch: func(t testing.TB) string {
			dir := t.TempDir()
			t.Cleanup(func() {
				if err := d.Remove(context.Background(), cow.Snapshot{Dir: dir}); err != nil {
					t.Error(err)
				}
			})
			return dir
		},
		Chain:  drivertest.Chain[cowtest.Layer],
		Limits: limits,
	}
}

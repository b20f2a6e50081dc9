package devicemapper

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/dm"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/loop"
)

// onDisks are the cases of the suite that say something of disks: what is made of the pool, and
// goes again. Once the pool is there, what it lies on makes no difference; make vm runs all.
const onDisks = "View(IsTheMerge|RefusesWrites|OfNoLayers)|NoLayers|SnapshotIsTheMerge|WriteOverLower|MmapWrite|RemoveEverything|" +
	"TwoSnapshotsOfOneChain|CreateTwice|UnmountWhileInUse|NothingIsLeft|FailedMountLeavesNothing|Remove|RemoveAfterKill|Done"

// TestDevicemapper goes to QEMU where this kernel has no device mapper.
func TestDevicemapper(t *testing.T) {
	drivertest.NeedsRoot(t)
	if _, err := os.Stat(dm.ControlPath); err != nil {
		drivertest.InVM(t, "^TestDevicemapper$/^(loop|limit|full|discard|busy|claim|kill)$|^TestDevicemapper$/^disk$/^("+onDisks+")$")
		return
	}
	drivertest.Live(t, mortal)
	t.Run("loop", func(t *testing.T) { cowtest.Run(t, harness(t, files)) })
	t.Run("disk", func(t *testing.T) { cowtest.Run(t, harness(t, disks)) })
	t.Run("limit", limits)
	t.Run("full", poolFull)
	t.Run("discard", discards)
	t.Run("busy", removeBusy)
	t.Run("claim", claims)
	t.Run("kill", kills)
}

func files(*testing.T) map[string]string { return nil }

// disks are the options for a pool on two disks, which .ci/vm gives its machine.
func disks(t *testing.T) map[string]string {
	const data, metadata = "/dev/vda", "/dev/vdb"
	for _, disk := range []string{data, metadata} {
		if err := os.WriteFile(disk, make([]byte, 1<<20), 0); err != nil { // what the last test left
			t.Skipf("SKIPPED: no disk to write to: %v", err)
		}
	}
	return map[string]string{optDataDevice: data, optMetadataDevice: metadata}
}

// homeVar tells processes that a test starts where the pool is.
const homeVar = "DEVICEMAPPER_HOME"

// harness is that of a driver with one pool for all that t does, made with options. When
// t ends nothing of it may be left in the kernel.
func harness(t *testing.T, options func(*testing.T) map[string]string) cowtest.Harness {
	home := os.Getenv(homeVar)
	if home == "" {
		home = newHome(t, options(t))
		t.Setenv(homeVar, home)
		// As if there were another container: to make the pool for each case takes most of the time.
		pool, err := New(home, nil).keep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pool.Close() })
	}
	return cowtest.Harness{
		New:    func(t testing.TB) cow.Driver { return New(home, nil) },
		Chain:  drivertest.Chain[cowtest.Layer],
		Limits: map[cowtest.Limit]string{cowtest.SourceIsFilesystem: "the source is the device"},
	}
}

// newHome is the home of a driver with options, which is checked at the end.
func newHome(t *testing.T, options map[string]string) string {
	home := filepath.Join(t.TempDir(), "home")
	if err := New(home, nil).SetOptions(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { checkGone(t, home) })
	return home
}

// checkGone checks that nothing of the pool in home is active.
func checkGone(t *testing.T, home string) {
	control, err := dm.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	prefix, err := New(home, nil).deviceName("")
	if err != nil {
		t.Fatal(err)
	}
	var devices, loops []string
	for range 500 {
		if devices, err = control.List(prefix); err != nil {
			t.Fatal(err)
		}
		loops = nil
		for _, name := range []string{dataName, metadataName} {
			file := filepath.Join(home, poolName, name)
			if has, err := loop.Has(file); err == nil && has {
				loops = append(loops, file)
			} else if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		if len(devices)+len(loops) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("left: %v, %v", devices, loops)
}

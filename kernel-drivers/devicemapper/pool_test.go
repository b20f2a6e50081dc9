package devicemapper

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

// small are options of a pool that is soon full.
func small(size string) map[string]string {
	return map[string]string{optDataSize: size, optMetadataSize: "16M", optBaseSize: "256M", optMinFree: "0%"}
}

// made is a driver on a pool of its own, with a snapshot of an image of 8 MiB.
func made(t *testing.T, options map[string]string) (*Driver, cow.Snapshot) {
	t.Helper()
	d := New(newHome(t, options), nil)
	s := cow.Snapshot{Dir: t.TempDir(), Base: drivertest.Chain(t, cowtest.Layer{cowtest.File("big", strings.Repeat("x", 8<<20))})}
	if err := d.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return d, s
}

func mounted(t *testing.T, d *Driver, s cow.Snapshot) (target string, unmount func()) {
	t.Helper()
	target = t.TempDir()
	m, err := d.Mount(t.Context(), s, target, cow.MountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return target, func() {
		t.Helper()
		if err := m.Unmount(); err != nil {
			t.Error(err)
		}
	}
}

// used are the blocks of data that the pool has given away.
func used(t *testing.T, d *Driver) int64 {
	t.Helper()
	p, err := d.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	u, err := p.usage()
	if err != nil {
		t.Fatal(err)
	}
	return u.usedData
}

// sinks waits until f is less than most.
func sinks(t *testing.T, what string, most int64, f func() int64) {
	t.Helper()
	var n int64
	for range 100 {
		if n = f(); n <= most {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%s is %d, want %d at most", what, n, most)
}

// emptied removes s, and all bases, and checks that the pool has nothing then.
func emptied(t *testing.T, d *Driver, s cow.Snapshot) {
	t.Helper()
	if err := d.Remove(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := d.Prune(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := used(t, d); n != 0 {
		t.Errorf("%d blocks are used when all was removed", n)
	}
}

func limits(t *testing.T) {
	d, s := made(t, small("600M"))
	if err := d.Limit(t.Context(), s, 4<<20); err != nil {
		t.Fatal(err)
	}
	target, unmount := mounted(t, d, s)
	if err := drivertest.Fill(target+"/fits", 1<<20); err != nil {
		t.Errorf("within the limit: %v", err)
	}
	if err := drivertest.Fill(target+"/too much", 6<<20); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("beyond the limit: %v, want ENOSPC", err)
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
	target, unmount = mounted(t, d, s)
	if err := drivertest.Fill(target+"/too much", 14<<20); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("beyond the limit after a remount: %v, want ENOSPC", err)
	}
	unmount()
	// More than the whole device was.
	const large = 500 << 20
	if err := d.Limit(t.Context(), s, large); err != nil {
		t.Fatal(err)
	}
	target, unmount = mounted(t, d, s)
	var st unix.Statfs_t
	if err := unix.Statfs(target, &st); err != nil {
		t.Fatal(err)
	}
	if free := int64(st.Bavail) * st.Bsize; free > large || free < large-64<<20 {
		t.Errorf("%d bytes are free of %d", free, int64(large))
	}
	if err := d.Limit(t.Context(), s, 0); err != nil {
		t.Error(err)
	}
	unmount()
	emptied(t, d, s)
}

// poolFull writes more than there is room for.
func poolFull(t *testing.T) {
	d, s := made(t, small("96M"))
	target, unmount := mounted(t, d, s)
	if err := drivertest.Fill(target+"/too much", 200<<20); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("beyond the pool's size: %v, want ENOSPC", err)
	}
	unmount()
	other := cow.Snapshot{Dir: t.TempDir(), Base: s.Base}
	if err := d.SetOptions(t.Context(), map[string]string{optMinFree: "40%"}); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), other); !errors.Is(err, ErrFull) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("another snapshot in a full pool: %v", err)
	}
	if err := d.SetOptions(t.Context(), map[string]string{optDataSize: "32M"}); err == nil {
		t.Error("the pool shrinks")
	}
	if err := d.SetOptions(t.Context(), map[string]string{optDataSize: "384M"}); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	target, unmount = mounted(t, d, other)
	if err := drivertest.Fill(target+"/enough", 120<<20); err != nil {
		t.Errorf("in a larger pool: %v", err)
	}
	if got, err := os.ReadFile(target + "/big"); err != nil || len(got) != 8<<20 || got[0] != 'x' {
		t.Errorf("big has %d bytes, %v", len(got), err)
	}
	// It also grows under what is mounted.
	if err := d.SetOptions(t.Context(), map[string]string{optDataSize: "512M"}); err != nil {
		t.Fatal(err)
	}
	used(t, d)
	if err := drivertest.Fill(target+"/more", 40<<20); err != nil {
		t.Errorf("in a pool that grew meanwhile: %v", err)
	}
	unmount()
	if err := d.Remove(t.Context(), other); err != nil {
		t.Error(err)
	}
	emptied(t, d, s)
}

// discards checks that what is deleted takes no room.
func discards(t *testing.T) {
	d, s := made(t, nil)
	before := used(t, d)
	target, unmount := mounted(t, d, s)
	const blocks = 64 << 20 / (64 << 10)
	if err := drivertest.Fill(target+"/f", 64<<20); err != nil {
		t.Fatal(err)
	}
	if n := used(t, d); n < before+blocks {
		t.Errorf("%d blocks are used, %d before 64 MiB were written", n, before)
	}
	if err := os.Remove(target + "/f"); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
	sinks(t, "used blocks after a file was deleted", before+blocks/2, func() int64 { return used(t, d) })
	if err := drivertest.Fill(target+"/f", 64<<20); err != nil {
		t.Fatal(err)
	}
	unmount()
	emptied(t, d, s)
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(d.Home, poolName, dataName), &st); err != nil {
		t.Fatal(err)
	}
	if size := st.Blocks * 512; size > 8<<20 {
		t.Errorf("the file of an empty pool takes %d bytes", size)
	}
}

// removeBusy removes a snapshot that something has open: its blocks are free later.
func removeBusy(t *testing.T) {
	d, s := made(t, nil)
	v, err := d.volume(t.Context(), filepath.Join(s.Dir, volumeName), false, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) > 0 {
		t.Errorf("Remove left %v, %v", left, err)
	}
	if got, err := os.ReadFile(v.Root() + "/big"); err != nil || len(got) != 8<<20 {
		t.Errorf("who has it mounted reads %d bytes, %v", len(got), err)
	}
	v.Close()
	if err := d.wait(t.Context(), v.name); err != nil {
		t.Fatal(err)
	}
	emptied(t, d, s)
}

// claims checks that a pool takes no disk that has something on it.
func claims(t *testing.T) {
	options := disks(t)
	if err := os.WriteFile(options[optDataDevice], []byte("something"), 0); err != nil {
		t.Fatal(err)
	}
	d := New(newHome(t, options), nil)
	s := cow.Snapshot{Dir: t.TempDir(), Base: drivertest.Chain[cowtest.Layer](t)}
	var u *cow.Unusable
	if err := d.Create(t.Context(), s); !errors.As(err, &u) || u.Hint == "" {
		t.Errorf("a disk that is in use: %v", err)
	}
	disks(t)
	if err := d.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{optDataDevice: "/dev/other", optBlockSize: "128K", optFilesystem: "xfs", optBaseSize: "20G"} {
		if err := d.SetOptions(t.Context(), map[string]string{name: value}); !errors.As(err, &u) {
			t.Errorf("%s=%s of a pool that is there: %v", name, value, err)
		}
	}
	emptied(t, d, s)
}

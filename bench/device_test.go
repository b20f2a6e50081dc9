package bench

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What is read past the caches is counted, where the directory's disk can be told.
func TestDeviceCounts(t *testing.T) {
	dir := t.TempDir()
	d := deviceOf(dir)
	if !d.counts() {
		t.Skip("SKIPPED: the filesystem of " + dir + " is on no disk that counts")
	}
	const size = 8 << 20
	path := filepath.Join(dir, "file")
	if err := writeFile(path, size, true); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Written out, its pages can be dropped without anybody else's.
	if err := unix.Fadvise(int(f.Fd()), 0, size, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	read := d.reads()
	if _, err := f.WriteTo(discard{}); err != nil {
		t.Fatal(err)
	}
	if n, ok := read(); !ok || n < size/2 {
		t.Errorf("%d bytes were read from the disk, the file has %d", n, size)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestMountedFrom(t *testing.T) {
	const mounts = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
36 22 0:31 / /mnt/a\040b rw - btrfs /dev/loop3 rw,ssd
37 22 0:32 / /tmp rw - tmpfs tmp rw
bad line
`
	for dev, want := range map[uint64]string{unix.Mkdev(254, 0): "/dev/vda", unix.Mkdev(0, 31): "/dev/loop3", unix.Mkdev(0, 32): "tmp", unix.Mkdev(9, 9): ""} {
		if got := mountedFrom([]byte(mounts), dev); got != want {
			t.Errorf("%d: %q, want %q", dev, got, want)
		}
	}
}

// What should have been cold and was not is marked.
func TestCheckCold(t *testing.T) {
	r := &Report{}
	r.Add("read", 1, map[string]Samples{"cold": {9}, "compressed": {9}, "cached": {1}, "unknown": {1}}, "cold", "compressed", "cached", "unknown")
	r.checkCold("read", 1000, map[string]Samples{"cold": {1100, 1000, 1050}, "compressed": {600, 700, 500}, "cached": {10, 0, time.Duration(3000)}, "absent": {1}})
	for name, want := range map[string]bool{"cold": false, "compressed": false, "cached": true, "unknown": false} {
		x, _ := r.Result("read", name)
		if x.Cached != want || (x.FromDevice == nil) != (name == "unknown") {
			t.Errorf("%s: %+v", name, x)
		}
	}
}

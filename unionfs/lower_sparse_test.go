package unionfs

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
)

// TestLowerSparseOnNoBlock: a packed sparse file whose data lies on no block of
// 512 bytes, and so partly in the index, is read, searched and copied up.
func TestLowerSparseOnNoBlock(t *testing.T) {
	const size = 1 << 20
	runs := []struct {
		off  int64
		data string
	}{{1000, strings.Repeat("first ", 5000)}, {500_001, "second"}, {size - 3, "end"}}
	want := make([]byte, size)
	var stored string
	for _, r := range runs {
		copy(want[r.off:], r.data)
		stored += r.data
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "f", Mode: 0o644, Size: int64(len(stored)), Format: tar.FormatGNU}))
	_, err := w.Write([]byte(stored))
	must(t, err)
	must(t, w.Close())
	h := b.Bytes()[:512] // made the old GNU format's: GNU tar manual, "Storing Sparse Files"
	h[156] = 'S'
	for i, r := range runs {
		copy(h[386+24*i:], fmt.Sprintf("%011o\x00%011o\x00", r.off, len(r.data)))
	}
	copy(h[483:], fmt.Sprintf("%011o\x00", size))
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))

	work := t.TempDir()
	p, err := layerpack.Pack(context.Background(), &b, work, layerpack.PackOptions{})
	must(t, err)
	chain := cow.Chain{Index: filepath.Join(t.TempDir(), "index"), Layers: []cow.Layer{{DiffID: p.DiffID, Dir: work}}}
	must(t, layerpack.BuildIndex(context.Background(), chain.Index, chain.Layers))
	o, err := openBase(chain)
	must(t, err)
	o.Upper, o.Work = filepath.Join(work, "upper"), filepath.Join(work, "work")
	mkdirs(t, o.Upper, o.Work)
	dir, _ := mount(t, o, MountOptions{})
	path := filepath.Join(dir, "f")
	if read(t, path) != string(want) {
		t.Error("the file has other data")
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	for _, c := range []struct {
		from   int64
		whence int
		want   int64
	}{{0, unix.SEEK_DATA, 512}, {600, unix.SEEK_HOLE, 31232}, {31232, unix.SEEK_DATA, 499712}, {600_000, unix.SEEK_DATA, size - 512}} {
		if at, err := unix.Seek(int(f.Fd()), c.from, c.whence); err != nil || at != c.want {
			t.Errorf("lseek(%d, %d) = %d, %v, want %d", c.from, c.whence, at, err, c.want)
		}
	}
	_, err = f.WriteAt([]byte("written"), 700_000)
	must(t, err)
	copy(want[700_000:], "written")
	if read(t, path) != string(want) {
		t.Error("the copied-up file has other data")
	}
}

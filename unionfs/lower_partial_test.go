package unionfs

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLowerPartial: the holes of a partial file are filled from below up to its
// bound, through several layers, and copied up whole.
func TestLowerPartial(t *testing.T) {
	needMount(t)
	const block, blocks = 4096, 16
	dir := scratch(t)
	fill := func(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n) }
	want := fill('a', block*blocks)
	path := func(layer string) string { return filepath.Join(dir, layer, "d/f") }
	write(t, filepath.Join(dir, "l0/old/g"), string(want))
	// partial makes a layer's file of which the given blocks are its own.
	partial := func(layer, data string, c byte, size, bound int, own ...int) {
		write(t, path(layer), "")
		f, err := os.OpenFile(path(layer), os.O_WRONLY, 0)
		must(t, err)
		must(t, f.Truncate(int64(size)))
		if size < len(want) {
			want = want[:size]
		}
		grown := make([]byte, size)
		copy(grown, want[:min(bound, len(want))])
		want = grown
		for _, b := range own {
			_, err := f.WriteAt(fill(c, min(block, size-b*block)), int64(b*block))
			must(t, err)
			copy(want[b*block:], fill(c, block))
		}
		must(t, f.Close())
		for name, v := range map[string]string{markMetacopy: "", markRedirect: poison + data, markPartial: strconv.Itoa(bound)} {
			must(t, unix.Setxattr(path(layer), trustedMarks+name, []byte(v), 0))
		}
	}
	partial("l1", "/old/g", 'b', block*blocks, block*blocks, 0, 5)
	partial("l2", "/d/f", 'c', block*20+100, block*9+17, 3, 12)
	layers := []string{filepath.Join(dir, "l2"), filepath.Join(dir, "l1"), filepath.Join(dir, "l0")}
	up := scratch(t)
	mkdirs(t, filepath.Join(up, "u"), filepath.Join(up, "w"))
	mnt, _ := mount(t, Options{LowerDirs: layers, Upper: filepath.Join(up, "u"), Work: filepath.Join(up, "w")}, MountOptions{})
	p := filepath.Join(mnt, "d/f")
	check := func(what string) {
		t.Helper()
		got := []byte(read(t, p))
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("%s: %d bytes, differs at %d, want %d bytes", what, len(got), i, len(want))
			}
		}
	}
	check("read")
	f, err := os.OpenFile(p, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	for _, off := range []int64{1, block*9 + 16, block*12 - 1, block*20 + 99} {
		b := make([]byte, 3)
		n, err := f.ReadAt(b, off)
		if err != nil && err != io.EOF || !bytes.Equal(b[:n], want[off:min(int(off)+3, len(want))]) {
			t.Errorf("read at %d = %q, %v", off, b[:n], err)
		}
	}
	for _, tc := range []struct {
		whence    int
		off, want int64
	}{{unix.SEEK_HOLE, 0, block * 10}, {unix.SEEK_DATA, block * 10, block * 12}, {unix.SEEK_DATA, 100, 100}, {unix.SEEK_HOLE, block * 12, block * 13}} {
		got, err := unix.Seek(int(f.Fd()), tc.off, tc.whence)
		// Below the bound's block the file has data of the block below.
		if err != nil || got != tc.want && got != block*9+17 {
			t.Errorf("seek(%d, %d) = %d, %v; want %d", tc.off, tc.whence, got, err, tc.want)
		}
	}
	_, err = f.WriteAt([]byte("X"), 7)
	must(t, err)
	want[7] = 'X'
	check("after copy-up")
}

// TestLowerPartialBoundZero: a partial file with bound 0 stands for itself.
func TestLowerPartialBoundZero(t *testing.T) {
	dir := scratch(t)
	f := filepath.Join(dir, "f")
	write(t, f, "own")
	for name, v := range map[string]string{markMetacopy: "", markRedirect: poison + "/gone", markPartial: "0"} {
		must(t, unix.Setxattr(f, userMarks+name, []byte(v), 0))
	}
	mnt, _ := mount(t, Options{LowerDirs: []string{dir}}, MountOptions{})
	if got := read(t, filepath.Join(mnt, "f")); got != "own" {
		t.Errorf("read = %q", got)
	}
}

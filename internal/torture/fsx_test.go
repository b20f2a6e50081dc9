package torture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	fsxMax = 8 << 20 // how long a file of TestData gets
	fsxFew = 24      // how many of them are used in one mount, a few times
)

// TestData does at random what changes or reads the bytes of lower files (read,
// write, truncate, mappings, fallocate, copy_file_range, seeks, with closing,
// syncing and remounts in between) and compares every byte with a model in memory.
func TestData(t *testing.T) {
	needMount(t)
	t.Parallel()
	seed := seed(t)
	for i, c := range []struct{ kind, fstype, transport string }{
		{"dirs", "ext4", "loop"}, {"packed", "tmpfs", "loop"}, {"dirs", "xfs", "gofuse"},
		{"dirs", "btrfs", "loop"}, {"packed", "ext4", "gofuse"}, {"packed", "xfs", "loop"},
		{"dirs", "ext4", "passthrough"}, {"packed", "btrfs", "passthrough"},
	} {
		t.Run(c.kind+"-"+c.fstype+"-"+c.transport, func(t *testing.T) {
			t.Parallel()
			for n := range times(t) {
				runData(t, c.kind, c.fstype, c.transport, seed+uint64(100*n+i))
			}
		})
	}
}

func runData(t *testing.T, kind, fstype, transport string, seed uint64) {
	x := &fsx{t: t, r: rand.New(rand.NewPCG(seed, 2))}
	u := handmade(t, kind, fstype, seed, x.fill)
	u.spec.Transport = transport
	defer func() { // a failure, too, leaves nothing that is in use
		for i := range x.files {
			x.close(&x.files[i])
		}
	}()
	for round := range 4 {
		srv := start(t, u.spec)
		x.root = srv.mnt
		todo := make([]int, 500)
		for i := range todo {
			todo[i] = fsxFew + x.r.IntN(len(x.files)-fsxFew)
		}
		for i := range fsxFew / 4 { // what a file's first operations leave, others must not mend
			for range 1 + x.r.IntN(3) {
				todo = append(todo, round*fsxFew/4+i)
			}
		}
		for i := range x.files {
			x.whole(&x.files[i])
		}
		for _, i := range todo {
			x.step(&x.files[i])
			if t.Failed() {
				t.Fatalf("round %d, seed %d; what was done:\n%s", round, seed, strings.Join(tail(x.log, 80), "\n"))
			}
		}
		for i := range x.files {
			x.close(&x.files[i])
			x.whole(&x.files[i])
		}
		srv.unmount()
	}
	srv := start(t, u.spec)
	for i := range x.files {
		f := &x.files[i]
		x.whole(f)
		must(t, os.WriteFile(u.plain+"/"+f.name, f.want, 0o644))
		for _, root := range []string{u.plain, srv.mnt} { // not all were changed
			must(t, unix.UtimesNano(root+"/"+f.name, []unix.Timespec{{Sec: 1}, {Sec: 1}}))
		}
	}
	u.same("after the last remount", srv.mnt)
	srv.unmount()
	u.untouched()
	complete(t, u.spec)
	u.kernel()
	if t.Failed() {
		t.Fatalf("seed %d; what was done:\n%s", seed, strings.Join(tail(x.log, 80), "\n"))
	}
}

// fsx is the files of a union and what was done to them.
type fsx struct {
	t     *testing.T
	r     *rand.Rand
	root  string
	files []fsxFile
	log   []string
}

// fsxFile is a file and what its bytes must be.
type fsxFile struct {
	name string
	want []byte
	fd   int    // -1: closed
	mem  []byte // a mapping of its beginning
}

// fill makes the lower files.
func (x *fsx) fill(b *builder) {
	type file struct {
		name string
		size int
		data [][2]int // where it is not a hole
	}
	var files []file
	for i := range fsxFew {
		size := 60_000 + x.r.IntN(60_000)
		files = append(files, file{fmt.Sprint("few", i), size, [][2]int{{0, size}}})
	}
	for _, c := range append(files, []file{
		{"empty", 0, nil},
		{"small", 9000, [][2]int{{0, 9000}}},
		{"limit", 64 << 10, [][2]int{{0, 64 << 10}}},
		{"odd", 64<<10 + 777, [][2]int{{0, 64<<10 + 777}}},
		{"sparse", 3<<20 + 5, [][2]int{{100_000, 130_000}, {1 << 20, 1<<20 + 4096}, {3<<20 - 9000, 3 << 20}}},
		{"hole", 1 << 20, nil},
		{"large", 5<<20 + 123, [][2]int{{0, 5<<20 + 123}}},
	}...) {
		want := make([]byte, c.size)
		for _, d := range c.data {
			fillRandom(want[d[0]:d[1]], x.r)
		}
		b.do(c.name, func(p string) error {
			f, err := os.Create(p)
			if err != nil {
				return err
			}
			for _, d := range c.data {
				if _, err := f.WriteAt(want[d[0]:d[1]], int64(d[0])); err != nil {
					return err
				}
			}
			if err := f.Truncate(int64(c.size)); err != nil {
				return err
			}
			return f.Close()
		})
		x.files = append(x.files, fsxFile{name: c.name, want: want, fd: -1})
	}
}

func fillRandom(b []byte, r *rand.Rand) {
	for i := 0; i < len(b); i += 8 {
		v := r.Uint64()
		for j := i; j < min(i+8, len(b)); j++ {
			b[j] = byte(v)
			v >>= 8
		}
	}
}

func (x *fsx) errorf(format string, args ...any) {
	x.t.Helper()
	x.t.Errorf(format, args...)
}

// span draws a place in f or a little behind its end; often on the bounds of
// pages or of the file.
func (x *fsx) span(f *fsxFile, over int) (off, n int) {
	r, size := x.r, len(f.want)
	near := func(v int) int {
		switch r.IntN(4) {
		case 0:
			return v &^ 4095
		case 1:
			return v&^4095 + r.IntN(3) - 1
		}
		return v
	}
	off = near(r.IntN(size + over + 1))
	if r.IntN(8) == 0 {
		off = size - r.IntN(9000)
	}
	off = min(max(off, 0), size+over, fsxMax)
	n = near(1 + r.IntN([]int{100, 5000, 20_000, 300_000}[r.IntN(4)]))
	return off, min(max(n, 1), fsxMax-off+1)
}

// grow makes the model at least size bytes long.
func (f *fsxFile) grow(size int) {
	if size > len(f.want) {
		f.want = append(f.want, make([]byte, size-len(f.want))...)
	}
}

func (x *fsx) open(f *fsxFile) {
	if f.fd >= 0 {
		return
	}
	fd, err := unix.Open(x.root+"/"+f.name, unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(x.t, err)
	f.fd = fd
}

func (x *fsx) close(f *fsxFile) {
	if f.mem != nil {
		must(x.t, unix.Munmap(f.mem))
		f.mem = nil
	}
	if f.fd >= 0 {
		must(x.t, unix.Close(f.fd))
		f.fd = -1
	}
}

// whole reads a file that is closed, from its beginning to its end.
func (x *fsx) whole(f *fsxFile) {
	x.t.Helper()
	got, err := os.ReadFile(x.root + "/" + f.name)
	must(x.t, err)
	x.compare(f, "the whole file", got, f.want, 0)
}

// compare names the first byte that differs.
func (x *fsx) compare(f *fsxFile, what string, got, want []byte, off int) {
	x.t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	i, n := 0, min(len(got), len(want))
	for i < n && got[i] == want[i] {
		i++
	}
	last := n - 1
	for last > i && got[last] == want[last] {
		last--
	}
	x.errorf("%s: %s at %d: %d bytes, want %d; bytes %d to %d differ: % x, want % x", f.name, what, off, len(got), len(want),
		off+i, off+last, got[i:min(i+8, n)], want[i:min(i+8, n)])
}

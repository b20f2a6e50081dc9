package torture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fsxMax is how long a file of TestData gets.
const fsxMax = 8 << 20

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
		for range 500 {
			x.step(&x.files[x.r.IntN(len(x.files))])
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
	for _, c := range []struct {
		name string
		size int
		data [][2]int // where it is not a hole
	}{
		{"empty", 0, nil},
		{"small", 9000, [][2]int{{0, 9000}}},
		{"limit", 64 << 10, [][2]int{{0, 64 << 10}}},
		{"odd", 64<<10 + 777, [][2]int{{0, 64<<10 + 777}}},
		{"sparse", 3<<20 + 5, [][2]int{{100_000, 130_000}, {1 << 20, 1<<20 + 4096}, {3<<20 - 9000, 3 << 20}}},
		{"hole", 1 << 20, nil},
		{"large", 5<<20 + 123, [][2]int{{0, 5<<20 + 123}}},
	} {
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

// step does one thing to f.
func (x *fsx) step(f *fsxFile) {
	x.t.Helper()
	x.open(f)
	steps := []func(*fsxFile) string{
		x.read, x.read, x.read, x.write, x.write, x.write, x.append, x.truncate, x.allocate, x.allocate, x.copyRange, x.copyRange,
		x.mapRead, x.mapRead, x.mapWrite, x.mapWrite, x.seek, x.sync, x.reopen, x.stat,
	}
	x.log = append(x.log, "")
	x.log[len(x.log)-1] = f.name + ": " + steps[x.r.IntN(len(steps))](f)
}

func (x *fsx) read(f *fsxFile) string {
	off, n := x.span(f, 5000)
	got := make([]byte, n)
	n, err := unix.Pread(f.fd, got, int64(off))
	if err != nil {
		x.errorf("%s: read: %v", f.name, err)
		return "read"
	}
	want := f.want[min(off, len(f.want)):min(off+len(got), len(f.want))]
	x.compare(f, "read", got[:n], want, off)
	return fmt.Sprintf("read %d+%d of %d", off, len(got), len(f.want))
}

func (x *fsx) data(n int) []byte {
	b := make([]byte, n)
	if x.r.IntN(6) > 0 { // else zeros
		fillRandom(b, x.r)
	}
	return b
}

func (x *fsx) write(f *fsxFile) string {
	off, n := x.span(f, 30_000)
	b := x.data(n)
	if n, err := unix.Pwrite(f.fd, b, int64(off)); err != nil || n != len(b) {
		x.errorf("%s: write of %d at %d: %d, %v", f.name, len(b), off, n, err)
	}
	f.grow(off + len(b))
	copy(f.want[off:], b)
	return fmt.Sprintf("write %d+%d", off, len(b))
}

func (x *fsx) append(f *fsxFile) string {
	if len(f.want) > fsxMax {
		return "append: long enough"
	}
	b := x.data(1 + x.r.IntN(9000))
	fd, err := unix.Open(x.root+"/"+f.name, unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
	must(x.t, err)
	if n, err := unix.Write(fd, b); err != nil || n != len(b) {
		x.errorf("%s: append of %d: %d, %v", f.name, len(b), n, err)
	}
	must(x.t, unix.Close(fd))
	f.want = append(f.want, b...)
	return fmt.Sprintf("append of %d at %d", len(b), len(f.want)-len(b))
}

func (x *fsx) truncate(f *fsxFile) string {
	size, _ := x.span(f, 50_000)
	if x.r.IntN(3) == 0 {
		size = x.r.IntN(fsxMax)
	}
	var err error
	if x.r.IntN(2) == 0 {
		err = unix.Ftruncate(f.fd, int64(size))
	} else {
		err = unix.Truncate(x.root+"/"+f.name, int64(size))
	}
	if err != nil {
		x.errorf("%s: truncate to %d: %v", f.name, size, err)
	}
	old := len(f.want)
	f.grow(size)
	f.want = f.want[:size:size]
	if f.mem != nil && len(f.mem) > size { // touching it would be a SIGBUS
		must(x.t, unix.Munmap(f.mem))
		f.mem = nil
	}
	return fmt.Sprintf("truncate %d to %d", old, size)
}

func (x *fsx) allocate(f *fsxFile) string {
	const keep = unix.FALLOC_FL_KEEP_SIZE
	mode := []uint32{0, keep, unix.FALLOC_FL_PUNCH_HOLE | keep, unix.FALLOC_FL_ZERO_RANGE, unix.FALLOC_FL_ZERO_RANGE | keep,
		unix.FALLOC_FL_COLLAPSE_RANGE, unix.FALLOC_FL_INSERT_RANGE}[x.r.IntN(7)]
	off, n := x.span(f, 30_000)
	if mode == unix.FALLOC_FL_COLLAPSE_RANGE || mode == unix.FALLOC_FL_INSERT_RANGE {
		off, n = off&^4095, max(n&^4095, 4096)
		if off+n >= len(f.want) {
			return "nothing to collapse"
		}
	}
	what := fmt.Sprintf("fallocate %#x %d+%d of %d", mode, off, n, len(f.want))
	err := unix.Fallocate(f.fd, mode, int64(off), int64(n))
	if err == unix.EOPNOTSUPP && mode&^keep != 0 {
		return what + ": " + err.Error()
	}
	if err != nil {
		x.errorf("%s: %s: %v", f.name, what, err)
	}
	switch mode {
	case 0, unix.FALLOC_FL_ZERO_RANGE:
		f.grow(off + n)
	case unix.FALLOC_FL_COLLAPSE_RANGE:
		f.want = slices.Delete(f.want, off, off+n)
	case unix.FALLOC_FL_INSERT_RANGE:
		f.want = slices.Insert(f.want, off, make([]byte, n)...)
	}
	if mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) != 0 {
		clear(f.want[min(off, len(f.want)):min(off+n, len(f.want))])
	}
	return what
}

func (x *fsx) copyRange(f *fsxFile) string {
	from := &x.files[x.r.IntN(len(x.files))]
	x.open(from)
	off, n := x.span(from, 100)
	to, _ := x.span(f, 20_000)
	if from == f && off < to+n && to < off+n {
		to = off + n // they must not overlap
		if to+n > fsxMax {
			return "copy_file_range: no room"
		}
	}
	so, do := int64(off), int64(to)
	done, err := unix.CopyFileRange(from.fd, &so, f.fd, &do, n, 0)
	avail := max(min(n, len(from.want)-off), 0)
	what := fmt.Sprintf("copy_file_range from %s %d+%d to %d: %d", from.name, off, n, to, done)
	if err != nil || done > avail || done == 0 && avail > 0 {
		x.errorf("%s: %s, %v", f.name, what, err)
		return what
	}
	if done > 0 {
		f.grow(to + done)
		copy(f.want[to:], from.want[off:off+done])
	}
	return what
}

// mapped gives f a mapping, and a place in it that can be touched.
func (x *fsx) mapped(f *fsxFile) (off, n int) {
	if f.mem != nil && x.r.IntN(6) == 0 {
		must(x.t, unix.Munmap(f.mem))
		f.mem = nil
	}
	if f.mem == nil && len(f.want) > 0 {
		mem, err := unix.Mmap(f.fd, 0, len(f.want), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		must(x.t, err)
		f.mem = mem
	}
	off, n = x.span(f, 0)
	off = min(off, len(f.mem), len(f.want))
	return off, min(n, len(f.mem)-off, len(f.want)-off)
}

func (x *fsx) mapRead(f *fsxFile) string {
	off, n := x.mapped(f)
	x.compare(f, "mapping", f.mem[off:off+n], f.want[off:off+n], off)
	return fmt.Sprintf("mapping read %d+%d", off, n)
}

func (x *fsx) mapWrite(f *fsxFile) string {
	off, n := x.mapped(f)
	b := x.data(n)
	copy(f.mem[off:], b)
	copy(f.want[off:], b)
	what := fmt.Sprintf("mapping write %d+%d", off, n)
	if x.r.IntN(3) == 0 && f.mem != nil {
		what += ", msync"
		if err := unix.Msync(f.mem, unix.MS_SYNC); err != nil {
			x.errorf("%s: %s: %v", f.name, what, err)
		}
	}
	return what
}

// seek first has what was written through the mapping written back: FUSE asks the
// server, who knows nothing of it before.
func (x *fsx) seek(f *fsxFile) string {
	if f.mem != nil {
		must(x.t, unix.Msync(f.mem, unix.MS_SYNC))
	}
	if out := holes(f.fd); out != "ok" {
		x.errorf("%s: %s", f.name, out)
	}
	return "seek for data and holes"
}

func (x *fsx) sync(f *fsxFile) string {
	if err := unix.Fsync(f.fd); err != nil {
		x.errorf("%s: fsync: %v", f.name, err)
	}
	return "fsync"
}

func (x *fsx) reopen(f *fsxFile) string {
	x.close(f)
	if x.r.IntN(3) == 0 {
		x.whole(f)
	}
	x.open(f)
	return "close, open"
}

func (x *fsx) stat(f *fsxFile) string {
	var st unix.Stat_t
	must(x.t, unix.Fstat(f.fd, &st))
	if st.Size != int64(len(f.want)) {
		x.errorf("%s: size %d, want %d", f.name, st.Size, len(f.want))
	}
	return "stat"
}

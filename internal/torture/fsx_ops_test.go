package torture

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

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

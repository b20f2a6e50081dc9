package torture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/treediff"
)

// TestFull fills the filesystem of the upper directory: whoever needs space is
// told that there is none, when he writes or syncs; everything else goes on,
// nothing half done is to be seen, and when there is space again work goes on.
func TestFull(t *testing.T) {
	needMount(t)
	t.Parallel()
	seed := seed(t)
	for i, c := range []struct {
		kind, fstype, transport string
		size                    int64
		options                 []string
	}{
		{"dirs", "ext4", "loop", 24, nil}, {"packed", "xfs", "loop", 300, nil}, {"dirs", "btrfs", "gofuse", 120, nil},
		{"dirs", "ext4", "loop", 24, []string{"-N", "130"}}, // out of inodes before it is out of blocks
	} {
		t.Run(c.kind+"-"+c.fstype+strings.Join(c.options, "")+"-"+c.transport, func(t *testing.T) {
			t.Parallel()
			for n := range times(t) {
				small := ground(t, c.fstype, c.size, c.options...)
				f := &full{t: t, r: rand.New(rand.NewPCG(seed+uint64(100*n+i), 5)), fstype: c.fstype, inodes: c.options != nil}
				f.run(c.kind, c.transport, small)
				if t.Failed() {
					t.Fatalf("seed %d; what was done:\n%s", seed+uint64(100*n+i), strings.Join(tail(f.log, 60), "\n"))
				}
			}
		})
	}
}

// full is a union whose upper has little space.
type full struct {
	t           *testing.T
	r           *rand.Rand
	fstype      string
	inodes      bool // they end first
	u           *union
	plain, live *side // of what is compared
	noNlink     bool  // but for the counts of names
	log         []string
	refused     map[string]int // how often there was no space, by kind of operation
}

const fullBig = 3<<20 + 77

func (f *full) fill(b *builder) {
	b.do("w", func(p string) error { return os.Mkdir(p, 0o755) })
	b.do("fill", func(p string) error { return os.Mkdir(p, 0o755) })
	for i := range 40 {
		data := pattern(f.r)
		b.do(fmt.Sprint("w/s", i), func(p string) error { return os.WriteFile(p, data, 0o644) })
	}
	for _, name := range []string{"w/big", "w/big2", "mapped"} {
		data := make([]byte, fullBig)
		fillRandom(data, f.r)
		b.do(name, func(p string) error { return os.WriteFile(p, data, 0o644) })
	}
	for i := range 12 {
		b.do(fmt.Sprint("w/d", i), func(p string) error { return os.MkdirAll(p+"/e", 0o755) })
		b.do(fmt.Sprint("w/d", i, "/e/f"), func(p string) error { return os.WriteFile(p, []byte(p[:0]+"deep"), 0o644) })
	}
}

func (f *full) run(kind, transport, small string) {
	t := f.t
	f.u = handmade(t, kind, f.fstype, 1, f.fill)
	f.u.spec.Transport = transport
	f.u.spec.Upper, f.u.spec.Work = small+"/upper", small+"/work"
	mkdirs(t, f.u.spec.Upper, f.u.spec.Work)
	f.plain, f.live = &side{root: f.u.plain + "/w"}, &side{root: f.u.spec.Target + "/w"}
	f.refused = map[string]int{}
	srv := start(t, f.u.spec)
	f.random(60, true) // some of it is up already
	for range 4 {
		f.fillUp(srv.mnt + "/fill")
		f.blocks("big")
		f.mapped()
		f.random(80, true)
		f.compare("while it is full")
	}
	f.t.Logf("refused: %v", f.refused)
	for _, kind := range map[bool][]string{false: {"fill", "write", "mapping"}, true: {"fill", "write"}}[f.inodes] {
		if f.refused[kind] == 0 {
			t.Errorf("%s: there was always space", kind)
		}
	}
	srv.unmount()
	srv = start(t, f.u.spec)
	f.compare("after a remount while it is full")
	must(t, os.RemoveAll(srv.mnt+"/fill"))
	f.random(200, false)
	f.compare("when there was space again")
	f.unmapped()
	srv.unmount()
	srv = start(t, f.u.spec)
	f.compare("after a remount")
	srv.unmount()
	f.u.untouched()
	complete(t, f.u.spec)
	f.u.kernelView(func(view string) {
		f.live.root, f.noNlink = view+"/w", true
		f.compare("as the kernel's overlayfs sees it")
	})
}

func (f *full) compare(what string) {
	f.t.Helper()
	// A btrfs that is full forgets the time of a write that failed, by and by.
	lenient := func(i *treediff.Ignore) { i.Mtime, i.Nlink = f.fstype == "btrfs", f.noNlink }
	if ds := differences(record(f.t, f.plain.root), record(f.t, f.live.root), lenient); ds != "" {
		f.t.Errorf("%s:\n%s", what, ds)
	}
	if f.t.Failed() {
		f.t.Fatalf("what was done:\n%s", strings.Join(tail(f.log, 60), "\n"))
	}
}

// fillUp takes all the space there is: files as long as can be written, then as
// many as can be created.
func (f *full) fillUp(dir string) {
	f.t.Helper()
	data := make([]byte, 256<<10)
	fillRandom(data, f.r)
	for _, n := range []int{256 << 10, 4096, 512, 0} {
		for i := 0; ; i++ {
			name := fmt.Sprintf("%s/%d-%d-%d", dir, n, i, f.r.Uint32())
			err := f.fillFile(name, data[:n])
			if err == unix.ENOSPC {
				f.refused["fill"]++
				break
			}
			if err != nil {
				f.t.Fatalf("fill: %v", err)
			}
			if n == 0 && (i > 300 || !f.inodes) {
				break // there are plenty of inodes
			}
		}
	}
}

// fillFile writes a file until it is 4 MiB long or there is an error. What the
// calls said was written is there.
func (f *full) fillFile(name string, data []byte) error {
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	size := 0
	for size < 4<<20 && len(data) > 0 {
		n, err := unix.Write(fd, data)
		if n > 0 {
			size += n
		}
		if err == nil {
			continue
		}
		var st unix.Stat_t
		must(f.t, unix.Fstat(fd, &st))
		b := make([]byte, len(data))
		last, _ := unix.Pread(fd, b, max(0, int64(size-n)/int64(len(data))*int64(len(data))))
		if st.Size != int64(size) || !bytes.Equal(b[:last], data[:last]) {
			f.t.Errorf("%s: %d bytes, %d were written", name, st.Size, size)
		}
		return err
	}
	return unix.Fsync(fd)
}

// random does operations of all kinds; where there is no space they must have no
// effect, or if they write data that part which they say.
func (f *full) random(n int, mayFail bool) {
	f.t.Helper()
	for range n {
		o := randomSingle(f.plain, f.r)
		f.do(&o, mayFail)
	}
}

func (f *full) do(o *single, mayFail bool) {
	f.t.Helper()
	got := o.do(f.live)
	kind, _, _ := strings.Cut(o.name, " ")
	f.log = append(f.log, o.name+": "+got)
	written := 0
	if o.data != nil {
		_, _ = fmt.Sscan(got, &written)
	}
	if strings.Contains(got, "ENOSPC") || o.data != nil && strings.Contains(got, "ok") && written < len(o.data) {
		f.refused[kind]++
		if !mayFail {
			f.t.Fatalf("%s: %s, when there is space", o.name, got)
		}
		if written > 0 {
			part := *o
			withFile(f.plain.at(o.paths[0]), unix.O_WRONLY, func(fd int) error { _, err := unix.Pwrite(fd, part.data[:written], part.off); return err })
		}
		o.forgive(f.t, f.plain, f.live)
		return
	}
	if want := o.do(f.plain); got != want {
		f.t.Fatalf("%s: %s, want %s; what was done:\n%s", o.name, got, want, strings.Join(tail(f.log, 40), "\n"))
	}
}

// blocks writes to a large lower file, part by part, until there is no space; all
// of the file is readable.
func (f *full) blocks(name string) {
	f.t.Helper()
	if _, err := os.Lstat(f.plain.at(name)); err != nil {
		return
	}
	for range 15 {
		data, off := make([]byte, 1+f.r.IntN(30_000)), f.r.Int64N(fullBig)
		fillRandom(data, f.r)
		o := single{paths: []string{name}, data: data, off: off, op: op{fmt.Sprintf("block %s %d+%d", name, off, len(data)), func(s *side) string {
			n := 0
			out := withFile(s.at(name), unix.O_WRONLY, func(fd int) (err error) { n, err = unix.Pwrite(fd, data, off); return err })
			return fmt.Sprintf("%d %s", max(n, 0), out)
		}}}
		f.do(&o, true)
	}
	read := readOp(name)
	f.do(&read, true)
}

// mapped writes to a large lower file through a mapping: that there was no space
// is said when it is synced. What the pages hold then, and which time the file has,
// is the kernel's matter, so the bytes are those that were there.
func (f *full) mapped() {
	f.t.Helper()
	fd, err := unix.Open(f.u.spec.Target+"/mapped", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(f.t, err)
	defer unix.Close(fd)
	mem, err := unix.Mmap(fd, 0, fullBig, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(f.t, err)
	same := make([]byte, 1)
	for range 100 {
		k := f.r.IntN(len(mem))
		same[0] = mem[k]
		copy(mem[k:], same) // the page is dirty now
	}
	err = unix.Msync(mem, unix.MS_SYNC)
	must(f.t, unix.Munmap(mem))
	f.log = append(f.log, fmt.Sprintf("mapping: %v", err))
	if err == unix.ENOSPC {
		f.refused["mapping"]++
	} else if err != nil {
		f.t.Errorf("msync: %v", err)
	}
}

// unmapped says that the file is what it was, and gives it a time.
func (f *full) unmapped() {
	f.t.Helper()
	want, err := os.ReadFile(f.u.plain + "/mapped")
	must(f.t, err)
	got, err := os.ReadFile(f.u.spec.Target + "/mapped")
	must(f.t, err)
	if !bytes.Equal(got, want) {
		f.t.Error("mapped: other bytes than were written")
	}
	for _, dir := range []string{f.u.plain, f.u.spec.Target} {
		must(f.t, unix.UtimesNano(dir+"/mapped", []unix.Timespec{{Sec: 5}, {Sec: 5}}))
	}
}

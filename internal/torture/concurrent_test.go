package torture

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestConcurrent lets goroutines of several processes work on the same files and
// directories of a union at once, and then knows exactly what must be there.
func TestConcurrent(t *testing.T) {
	needMount(t)
	t.Parallel()
	seed := seed(t)
	for name, c := range map[string]struct {
		fill  func(b *builder)
		check func(t *testing.T, root string, lines []string)
	}{
		"append": {appendFill, appendCheck},
		"blocks": {blocksFill, blocksCheck},
		"names":  {namesFill, namesCheck},
		"locks":  {locksFill, locksCheck},
		"links":  {linksFill, linksCheck},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range times(t) {
				both(t, func(t *testing.T, kind, transport string) {
					u := handmade(t, kind, "ext4", seed, c.fill)
					u.spec.Transport = transport
					var lines []string
					u.everywhere(func(root string) { lines = runJobs(t, name, root) },
						func(root string) { c.check(t, root, lines) })
				})
			}
		})
	}
}

// Appending: records of many lengths at the ends of files, none of them lost,
// torn or overwritten.

var appendFiles = map[string]int{"log-small": 1000, "log-large": 200_000, "log-new": 0}

const appends = 40

func appendFill(b *builder) {
	for name, size := range appendFiles {
		if size > 0 {
			b.do(name, func(p string) error { return os.WriteFile(p, bytes.Repeat([]byte("lower line\n"), size/11), 0o666) })
		}
	}
}

func appendRecord(id, seq int) []byte {
	n := (id*7919+seq*104729)%6000 + 1
	body := fmt.Sprintf("%d %d %s", id, seq, strings.Repeat(string(rune('a'+seq%26)), n))
	return fmt.Appendf(nil, "%s %08x\n", body, crc32.ChecksumIEEE([]byte(body)))
}

func appendJob(dir string, id int) ([]string, error) {
	var files []*os.File
	for name := range appendFiles {
		f, err := os.OpenFile(dir+"/"+name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		files = append(files, f)
	}
	for seq := range appends {
		for _, f := range files {
			if n, err := f.Write(appendRecord(id, seq)); err != nil {
				return nil, fmt.Errorf("after %d bytes: %w", n, err)
			}
		}
	}
	return nil, nil
}

func appendCheck(t *testing.T, root string, _ []string) {
	for name, size := range appendFiles {
		b, err := os.ReadFile(root + "/" + name)
		must(t, err)
		lower := bytes.Repeat([]byte("lower line\n"), size/11)
		rest, ok := bytes.CutPrefix(b, lower)
		if !ok {
			t.Errorf("%s: what the lower had is not there", name)
		}
		next := map[int]int{}
		for line := range bytes.Lines(rest) {
			parts := strings.SplitN(string(line), " ", 3)
			id, err1 := strconv.Atoi(parts[0])
			seq, err2 := strconv.Atoi(parts[min(1, len(parts)-1)])
			if err1 != nil || err2 != nil || !bytes.Equal(line, appendRecord(id, seq)) {
				t.Fatalf("%s: a torn record: %.80q", name, line)
			}
			if next[id] != seq {
				t.Fatalf("%s: worker %d: record %d where %d belongs", name, id, seq, next[id])
			}
			next[id]++
		}
		for id := range workers {
			if next[id] != appends {
				t.Errorf("%s: worker %d: %d records, want %d", name, id, next[id], appends)
			}
		}
	}
}

// Blocks: everybody writes its own blocks of one large lower file, whose data is
// copied up by parts; blocks are no multiple of a page and share pages. One
// process of the three writes through a mapping.

const (
	blockSize  = 3000
	blockCount = 1000
	blockTail  = 777
)

func blockData(k, version int) []byte {
	b := make([]byte, blockSize)
	fillRandom(b, rand.New(rand.NewPCG(uint64(k), uint64(version))))
	return b
}

// blockOwner is who writes a block; -1: nobody.
func blockOwner(k int) int {
	if k%5 == 0 || k/100 == 4 {
		return -1
	}
	return k * 7 % workers
}

func blocksFill(b *builder) {
	var data []byte
	for k := range blockCount {
		data = append(data, blockData(k, 0)...)
	}
	data = append(data, bytes.Repeat([]byte{'t'}, blockTail)...)
	b.do("large", func(p string) error { return os.WriteFile(p, data, 0o666) })
}

func blocksJob(dir string, id int) ([]string, error) {
	f, err := os.OpenFile(dir+"/large", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	write := func(b []byte, off int64) error { _, err := f.WriteAt(b, off); return err }
	if id/goroutines == 1 {
		mem, err := unix.Mmap(int(f.Fd()), 0, blockSize*blockCount, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return nil, err
		}
		defer func() { _ = unix.Munmap(mem) }()
		write = func(b []byte, off int64) error { copy(mem[off:], b); return nil }
	}
	r := rand.New(rand.NewPCG(uint64(id), 3))
	got := make([]byte, blockSize)
	for i, k := range r.Perm(blockCount) {
		off := int64(k) * blockSize
		want := 0
		switch blockOwner(k) {
		case id:
			want = 1
			if err := write(blockData(k, 1), off); err != nil {
				return nil, err
			}
			if i%50 == 0 {
				if err := f.Sync(); err != nil {
					return nil, err
				}
			}
		case -1:
		default:
			continue
		}
		if _, err := f.ReadAt(got, off); err != nil {
			return nil, err
		}
		if !bytes.Equal(got, blockData(k, want)) {
			return nil, fmt.Errorf("block %d is not version %d", k, want)
		}
	}
	return nil, f.Sync()
}

func blocksCheck(t *testing.T, root string, _ []string) {
	b, err := os.ReadFile(root + "/large")
	must(t, err)
	if len(b) != blockSize*blockCount+blockTail || strings.Trim(string(b[blockSize*blockCount:]), "t") != "" {
		t.Fatalf("%d bytes, end %.20q", len(b), b[max(0, len(b)-blockTail):])
	}
	for k := range blockCount {
		version := 1
		if blockOwner(k) < 0 {
			version = 0
		}
		if !bytes.Equal(b[k*blockSize:(k+1)*blockSize], blockData(k, version)) {
			t.Errorf("block %d is not version %d", k, version)
		}
	}
}

// Locks: counters in lower files that go up by one under a lock of each kind.

var lockKinds = []string{"flock", "ofd", "posix", "excl"}

const increments = 25

func locksFill(b *builder) {
	for _, k := range lockKinds {
		b.do(k, func(p string) error { return os.WriteFile(p, []byte("0000000"), 0o666) })
	}
}

func locksJob(dir string, id int) ([]string, error) {
	for _, kind := range lockKinds {
		if kind == "posix" && id%goroutines > 0 {
			continue // such a lock belongs to the process
		}
		f, err := os.OpenFile(dir+"/"+kind, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		for range increments {
			if err := locked(kind, f, func() error {
				b := make([]byte, 7)
				if _, err := f.ReadAt(b, 0); err != nil {
					return err
				}
				n, err := strconv.Atoi(string(b))
				if err != nil {
					return err
				}
				_, err = f.WriteAt(fmt.Appendf(nil, "%07d", n+1), 0)
				return err
			}); err != nil {
				return nil, fmt.Errorf("%s: %w", kind, err)
			}
		}
	}
	return nil, nil
}

func locked(kind string, f *os.File, fn func() error) error {
	fcntl := func(cmd int, typ int16) error {
		for {
			err := unix.FcntlFlock(f.Fd(), cmd, &unix.Flock_t{Type: typ, Whence: 0})
			if err != unix.EINTR {
				return err
			}
		}
	}
	var lock, unlock func() error
	switch kind {
	case "flock":
		lock = func() error {
			for {
				if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
					return err
				}
			}
		}
		unlock = func() error { return unix.Flock(int(f.Fd()), unix.LOCK_UN) }
	case "ofd":
		lock = func() error { return fcntl(unix.F_OFD_SETLKW, unix.F_WRLCK) }
		unlock = func() error { return fcntl(unix.F_OFD_SETLK, unix.F_UNLCK) }
	case "posix":
		lock = func() error { return fcntl(unix.F_SETLKW, unix.F_WRLCK) }
		unlock = func() error { return fcntl(unix.F_SETLK, unix.F_UNLCK) }
	case "excl": // a lock file, as programs have that trust neither
		name := f.Name() + ".lock"
		lock = func() error {
			for {
				l, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0o600)
				if os.IsExist(err) {
					continue
				}
				if err != nil {
					return err
				}
				return l.Close()
			}
		}
		unlock = func() error { return os.Remove(name) }
	}
	if err := lock(); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	return unlock()
}

func locksCheck(t *testing.T, root string, _ []string) {
	for _, kind := range lockKinds {
		want := increments * workers
		if kind == "posix" {
			want = increments * processes
		}
		b, err := os.ReadFile(root + "/" + kind)
		must(t, err)
		if string(b) != fmt.Sprintf("%07d", want) {
			t.Errorf("%s: %s, want %d", kind, b, want)
		}
	}
	if names := list(t, root); len(names) != len(lockKinds) {
		t.Errorf("left: %q", names)
	}
}

// list is a directory's names, sorted.
func list(t testing.TB, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range es {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}

package torture

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
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
		"cold":   {coldFill, coldCheck},
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

// Cold: everybody comes to the same files of the lower at the same time, one after
// another, and changes each in one of many ways: it is copied up once.

const coldFiles = 60

func coldSize(k int) int { return []int{100, 5000, 70_000, 300_000}[k%4] }

func coldFill(b *builder) {
	for k := range coldFiles {
		b.do(fmt.Sprintf("d%d", k%7), func(p string) error { return os.MkdirAll(p, 0o777) })
		b.do(fmt.Sprintf("d%d/f%d", k%7, k), func(p string) error { return os.WriteFile(p, bytes.Repeat([]byte{'.'}, coldSize(k)), 0o600) })
	}
}

func coldJob(dir string, id int) ([]string, error) {
	for k := range coldFiles {
		p := fmt.Sprintf("%s/d%d/f%d", dir, k%7, k)
		var err error
		switch id % 4 {
		case 0:
			err = unix.Setxattr(p, fmt.Sprint("user.w", id), []byte("x"), 0)
		case 1:
			err = os.Link(p, fmt.Sprintf("%s.%d", p, id))
		default:
			var f *os.File
			if f, err = os.OpenFile(p, os.O_WRONLY, 0); err == nil {
				_, err = f.WriteAt([]byte{byte('a' + id)}, int64(coldSize(k)/(id+1)-1))
				err = errors.Join(err, f.Close())
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func coldCheck(t *testing.T, root string, _ []string) {
	for k := range coldFiles {
		p := fmt.Sprintf("%s/d%d/f%d", root, k%7, k)
		want := bytes.Repeat([]byte{'.'}, coldSize(k))
		links := 1
		for id := range workers {
			switch id % 4 {
			case 0:
				if _, err := unix.Getxattr(p, fmt.Sprint("user.w", id), make([]byte, 1)); err != nil {
					t.Errorf("%s: attribute of worker %d: %v", p, id, err)
				}
			case 1:
				links++
				var a, b unix.Stat_t
				must(t, unix.Stat(p, &a))
				if err := unix.Stat(fmt.Sprintf("%s.%d", p, id), &b); err != nil || a.Ino != b.Ino {
					t.Errorf("%s: link of worker %d: %v, inodes %d and %d", p, id, err, a.Ino, b.Ino)
				}
			default:
				want[coldSize(k)/(id+1)-1] = byte('a' + id)
			}
		}
		got, err := os.ReadFile(p)
		must(t, err)
		var st unix.Stat_t
		must(t, unix.Stat(p, &st))
		if !bytes.Equal(got, want) || int(st.Nlink) != links {
			t.Errorf("%s: %d links, want %d; right bytes: %v", p, st.Nlink, links, bytes.Equal(got, want))
		}
	}
}

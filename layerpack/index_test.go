package layerpack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

func TestIndexesAreReproducible(t *testing.T) {
	layers := everything(t)
	_, a := buildOpen(t, layers)
	_, b := buildOpen(t, everything(t))
	x, _ := os.ReadFile(a)
	y, _ := os.ReadFile(b)
	if !bytes.Equal(x, y) {
		t.Error("two runs differ")
	}
	for i, l := range layers {
		other := everything(t)[i]
		x, _ := os.ReadFile(l.TOC())
		y, _ := os.ReadFile(other.TOC())
		if !bytes.Equal(x, y) {
			t.Errorf("two tables of contents of layer %d differ", i)
		}
	}
}

func TestIndexAnswers(t *testing.T) {
	layers := everything(t)
	x, _ := buildOpen(t, layers)
	for i, l := range layers {
		if x.Layers()[i] != l.DiffID {
			t.Errorf("layer %d is %s", i, x.Layers()[i])
		}
	}
	var n uint64
	seen := make(map[NID]bool)
	x.Walk(func(_ []byte, _ *Dirent, a *Attr) error {
		if !seen[a.NID] {
			seen[a.NID] = true
			n++
		}
		return nil
	})
	if n != x.Inodes() {
		t.Errorf("%d inodes, and %d are counted", n, x.Inodes())
	}
	many, err := x.Lookup(x.Root(), []byte("many"))
	if err != nil {
		t.Fatal(err)
	}
	// Every entry can be found, and every offset continues.
	var all []Dirent
	x.ReadDir(many.NID, 0, func(d *Dirent) bool { all = append(all, *d); return true })
	if len(all) != 502 {
		t.Fatalf("%d entries", len(all))
	}
	for i, d := range all {
		got, err := x.Lookup(many.NID, d.Name)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "entry", d, got)
		var rest []Dirent
		x.ReadDir(many.NID, d.Off, func(d *Dirent) bool { rest = append(rest, *d); return len(rest) < 2 })
		diff(t, "the rest", len(all[i+1:min(i+3, len(all))]), len(rest))
		for k := range rest {
			diff(t, "entry", all[i+1+k], rest[k])
		}
	}
	up, err := x.Lookup(many.NID, []byte(".."))
	if err != nil || up.NID != x.Root() || all[0].NID != many.NID {
		t.Errorf("..: %+v, %v", up, err)
	}
	for _, name := range []string{"", "\x00", "zzz", "n", "\xff", "nn-"} {
		if _, err := x.Lookup(many.NID, []byte(name)); err != fs.ErrNotExist {
			t.Errorf("%q: %v", name, err)
		}
	}
	big := must(x.Lookup(must(x.Lookup(x.Root(), []byte("bin"))).NID, []byte("big")))
	for _, c := range []struct{ off, len, want int64 }{{0, 1, 1}, {0, 1 << 60, 70000}, {69999, 10, 1}, {70000, 1, 0}, {1 << 62, 1, 0}, {5, 0, 0}} {
		es, err := x.Extents(big.NID, c.off, c.len, nil)
		var n int64
		for _, e := range es {
			n += e.Len
		}
		if err != nil || n != c.want {
			t.Errorf("extents of %d+%d: %+v, %v", c.off, c.len, es, err)
		}
	}
	for what, err := range map[string]error{
		"readdir of a file":  x.ReadDir(big.NID, 0, nil),
		"lookup in a file":   second(x.Lookup(big.NID, []byte("x"))),
		"readlink of a file": second(x.Readlink(big.NID)),
		"extents of a dir":   second(x.Extents(many.NID, 0, 1, nil)),
		"negative extents":   second(x.Extents(big.NID, -1, 1, nil)),
		"no attribute":       second(x.Xattr(big.NID, []byte("user.x"))),
		"no inode":           x.Stat(1<<50, new(Attr)),
		"no inode 2":         x.Stat(^NID(0), new(Attr)),
	} {
		if err == nil {
			t.Errorf("%s works", what)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestReadingAllocatesNothing(t *testing.T) {
	x, _ := buildOpen(t, everything(t))
	bin := must(x.Lookup(x.Root(), []byte("bin"))).NID
	ping, name, xattr := must(x.Lookup(bin, []byte("ping"))).NID, []byte("ping"), []byte("user.long")
	big := must(x.Lookup(bin, []byte("big"))).NID
	buf := make([]Extent, 0, 8)
	var a Attr
	n := testing.AllocsPerRun(1000, func() {
		x.Lookup(bin, name)
		x.Stat(ping, &a)
		x.ReadDir(bin, 0, func(*Dirent) bool { return true })
		x.Xattr(ping, xattr)
		x.Xattrs(ping, func(_, _ []byte) bool { return true })
		buf, _ = x.Extents(big, 0, 70000, buf[:0])
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDamageIsFound(t *testing.T) {
	layers := everything(t)
	ctx := context.Background()
	_, path := buildOpen(t, layers)
	good, _ := os.ReadFile(path)
	for name, b := range map[string][]byte{
		"empty":            nil,
		"short":            good[:1500],
		"truncated":        good[:len(good)-512],
		"no magic":         patchedRaw(good, func(b []byte) { b[1024]++ }),
		"superblock":       patchedRaw(good, func(b []byte) { b[1024+50]++ }),
		"device table":     patchedRaw(good, func(b []byte) { b[1152]++ }),
		"bigger blocks":    reseal(good, func(b []byte) { b[1024+sbBlockBits] = 12 }),
		"other version":    reseal(good, func(b []byte) { b[1024+sbVolume+10]++ }),
		"unknown features": reseal(good, func(b []byte) { b[1024+sbIncompat] |= 1 }),
		"no such root":     reseal(good, func(b []byte) { b[1024+sbRootNID+1] = 0xff }),
		"far devices":      reseal(good, func(b []byte) { b[1024+sbSlots+1] = 0xff }),
	} {
		p := filepath.Join(t.TempDir(), "x")
		os.WriteFile(p, b, 0o644)
		if x, err := OpenIndex(p); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, %v", name, x, err)
		}
	}
	toc, _ := os.ReadFile(layers[0].TOC())
	for name, b := range map[string][]byte{
		"empty": nil, "short": toc[:20], "truncated": toc[:len(toc)-1],
		"bit":     patchedRaw(toc, func(b []byte) { b[100] ^= 4 }),
		"version": patchedRaw(toc, func(b []byte) { b[7]++ }),
	} {
		d := t.TempDir()
		l := cow.Layer{DiffID: layers[0].DiffID, Dir: d}
		os.Link(layers[0].Tar(), l.Tar())
		os.WriteFile(l.TOC(), b, 0o644)
		if err := BuildIndex(ctx, filepath.Join(d, "i"), []cow.Layer{l}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("table of contents, %s: %v", name, err)
		}
	}
	if err := os.Truncate(layers[1].Tar(), 100); err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "i")
	if err := BuildIndex(ctx, dst, layers); !errors.Is(err, ErrCorrupt) {
		t.Errorf("short tar: %v", err)
	}
	diff(t, "files", []string(nil), names(t, filepath.Dir(dst)))
}

// reseal changes a superblock and makes its checksum right.
func reseal(b []byte, fn func(b []byte)) []byte {
	b = patchedRaw(b, fn)
	sb := b[superOffset : superOffset+blockSize]
	binary.LittleEndian.PutUint32(sb[sbChecksum:], superChecksum(sb))
	return b
}

// TestIndexMode: what BuildIndex writes can be read by other users,
// if its directory lets them in.
func TestIndexMode(t *testing.T) {
	_, path := buildOpen(t, everything(t))
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Mode != unix.S_IFREG|0o644 {
		t.Errorf("%o, %v", st.Mode, err)
	}
}

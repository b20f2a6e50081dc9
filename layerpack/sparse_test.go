package layerpack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// sparseFormats are the ways to write a sparse file, by the manual of GNU tar.
var sparseFormats = []string{"0.0", "0.1", "1.0", "S"}

// sparseTar is a tar of one sparse file with these runs of data.
func sparseTar(t testing.TB, format, name string, size int64, offs []int64, data []string) []byte {
	t.Helper()
	var list []string
	records := []string{fmt.Sprint("GNU.sparse.size=", size), fmt.Sprint("GNU.sparse.numblocks=", len(offs))}
	for i, o := range offs {
		list = append(list, fmt.Sprint(o), fmt.Sprint(len(data[i])))
		records = append(records, fmt.Sprint("GNU.sparse.offset=", o), fmt.Sprint("GNU.sparse.numbytes=", len(data[i])))
	}
	body := strings.Join(data, "")
	switch format {
	case "0.1":
		records = []string{records[0], records[1], "GNU.sparse.name=" + name, "GNU.sparse.map=" + strings.Join(list, ",")}
	case "1.0":
		records = []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=" + name, fmt.Sprint("GNU.sparse.realsize=", size)}
		m := fmt.Sprintln(len(offs)) + strings.Join(append(list, ""), "\n")
		body = m + strings.Repeat("\x00", -len(m)&511) + body
	case "S":
		return gnuSparseTar(t, name, size, offs, data)
	}
	head := paxTar(t, 'x', records...)
	end := bytes.Index(head, tarOf(t, file("f", "data"))[:512])
	return append(head[:end:end], tarOf(t, file(name, body))...)
}

// gnuSparseTar is the same in the old GNU format: 4 pairs in the header, 21 in
// each block behind it.
func gnuSparseTar(t testing.TB, name string, size int64, offs []int64, data []string) []byte {
	b := tarOf(t, file(name, strings.Join(data, "")))
	head := bytes.Clone(b[:512])
	head[156] = 'S'
	copy(head[257:265], "ustar  \x00")
	clear(head[345:500])
	copy(head[483:495], fmt.Sprintf("%011o\x00", size))
	var pairs []byte
	for i, o := range offs {
		pairs = append(pairs, fmt.Sprintf("%011o\x00%011o\x00", o, len(data[i]))...)
	}
	copy(head[386:482], pairs)
	var more []byte
	if len(pairs) > 96 {
		head[482] = 1
		for pairs = pairs[96:]; len(pairs) > 0; {
			block := make([]byte, 512)
			n := copy(block[:504], pairs)
			if pairs = pairs[n:]; len(pairs) > 0 {
				block[504] = 1
			}
			more = append(more, block...)
		}
	}
	resum(head)
	return cat(head, more, b[512:])
}

// randomRuns are runs of data in a file of size bytes, on blocks or not.
func randomRuns(r *rand.Rand, size int64, even bool) (offs []int64, data []string) {
	at := int64(0)
	for at < size && len(offs) < 60 {
		off := at + r.Int64N(1+r.Int64N(1+size/10))
		n := 1 + r.Int64N(1+r.Int64N(1+size/10))
		if even {
			off, n = padded(off), padded(n)
		}
		if n = min(n, size-off); n <= 0 {
			break
		}
		offs, data = append(offs, off), append(data, strings.Repeat(string(rune('a'+len(offs)%26)), int(n)))
		at = off + n
	}
	return offs, data
}

// TestSparseAnywhere: sparse files whose data lies on no block, in every
// format, are what they should be to the reader, to the kernel and extracted.
func TestSparseAnywhere(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	var tars [][]byte
	want := make(map[string]string)
	for i := range 60 {
		name := fmt.Sprint("f", i)
		size := 1 + r.Int64N(1<<(4+i%16))
		offs, data := randomRuns(r, size, i%5 == 0)
		whole := make([]byte, size)
		for k, o := range offs {
			copy(whole[o:], data[k])
		}
		sum := sha256.Sum256(whole)
		want[name] = hex.EncodeToString(sum[:])
		tars = append(tars, sparseTar(t, sparseFormats[i%4], name, size, offs, data))
	}
	layers := packChain(t, tars...)
	x, index := buildOpen(t, layers)
	got := indexView(t, x, layers)
	for name, sum := range want {
		if got[name].Data != sum {
			t.Errorf("%s has other data", name)
		}
	}
	for _, l := range layers {
		diff(t, "damage", []Damage(nil), verified(t, l))
	}
	needRoot(t)
	diff(t, "the kernel's erofs against the index", without(got, dropLayer), hostView(t, mountEROFS(t, index, layers)))
	for i, l := range layers {
		at, _ := extract(t, layers[i:i+1], t.TempDir(), ExtractOptions{Dialect: whiteout.Trusted})
		for name, v := range hostView(t, at) {
			if name != "" && v.Data != want[name] {
				t.Errorf("%s, extracted from %s, has other data", name, l.DiffID)
			}
		}
	}
}

// TestSparseKeepsHoles: data on no block leaves the holes around it, and takes
// only the blocks that it touches into the index.
func TestSparseKeepsHoles(t *testing.T) {
	layers := packChain(t, sparseTar(t, "1.0", "f", 10<<20, []int64{1 << 20, 5<<20 + 100}, []string{strings.Repeat("a", 4096), "odd"}))
	x, index := buildOpen(t, layers)
	e := must(x.Lookup(x.Root(), []byte("f")))
	es := must(x.Extents(e.NID, 0, 10<<20, nil))
	var shape [][2]int64
	for _, e := range es {
		shape = append(shape, [2]int64{int64(e.Layer), e.Len})
	}
	diff(t, "extents", [][2]int64{{-1, 1 << 20}, {0, 4096}, {-1, 4<<20 - 4096}, {1, 512}, {-1, 5<<20 - 512}}, shape)
	st := must(os.Stat(index))
	if again := 2 * (10 << 20 >> 9) * chunkIndexSize; st.Size() > int64(again) {
		t.Errorf("the index has %d bytes", st.Size())
	}
}

// TestSparseBeyondBounds: a file in more pieces than a file gets chunks is
// composed of larger ones; what would fill the disk is refused.
func TestSparseBeyondBounds(t *testing.T) {
	const size = 1 << 40
	offs, data := []int64{0, 1 << 30, 1<<39 + 4096, size - 1}, []string{"first", strings.Repeat("x", 8192), "third", "z"}
	layers := packChain(t, sparseTar(t, "1.0", "vast", size, offs, data))
	x, index := buildOpen(t, layers)
	e := must(x.Lookup(x.Root(), []byte("vast")))
	for i, o := range offs {
		var got []byte
		for _, e := range must(x.Extents(e.NID, o, int64(len(data[i])), nil)) {
			b := make([]byte, e.Len)
			f := x.File()
			if e.Layer == 0 {
				f = must(os.Open(layers[0].Tar()))
				defer f.Close()
			}
			must(f.ReadAt(b, e.Off))
			got = append(got, b...)
		}
		if string(got) != data[i] {
			t.Errorf("at %d: %q", o, got)
		}
	}
	if os.Getuid() == 0 {
		f := must(os.Open(filepath.Join(mountEROFS(t, index, layers), "vast")))
		defer f.Close()
		for i, o := range offs {
			b := make([]byte, len(data[i]))
			if _, err := f.ReadAt(b, o); err != nil || string(b) != data[i] {
				t.Errorf("the kernel at %d: %q, %v", o, b, err)
			}
		}
		if at, err := unix.Seek(int(f.Fd()), 1<<20, unix.SEEK_DATA); err != nil || at != 1<<30 {
			t.Errorf("data after the first: %d, %v", at, err)
		}
	}
	offs, data = nil, nil
	for i := range int64(4096) {
		offs, data = append(offs, i<<32+1), append(data, "x")
	}
	bomb := packChain(t, sparseTar(t, "1.0", "bomb", 1<<44, offs, data))
	if err := BuildIndex(t.Context(), filepath.Join(t.TempDir(), "index"), bomb); !errors.Is(err, ErrBomb) {
		t.Errorf("got %v", err)
	}
}

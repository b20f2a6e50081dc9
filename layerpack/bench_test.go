package layerpack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// benchLayer is the tar that CFS_TEST_ROOT_TAR names, or one of text that
// compresses like a distribution's.
var benchLayer = sync.OnceValue(func() map[Compression][]byte {
	if b, err := os.ReadFile(os.Getenv("CFS_TEST_ROOT_TAR")); err == nil {
		return compressed(b)
	}
	r := rand.New(rand.NewPCG(1, 2))
	words := make([][]byte, 4096)
	for i := range words {
		words[i] = make([]byte, 2+r.IntN(9))
		for k := range words[i] {
			words[i][k] = byte(' ' + r.IntN(90))
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range 6000 {
		size := 200 + r.IntN(1<<(6+r.IntN(11)))
		data := make([]byte, 0, size+16)
		for len(data) < size {
			data = append(data, words[r.IntN(1<<(4+r.IntN(9)))]...)
		}
		w.WriteHeader(&tar.Header{Name: fmt.Sprintf("usr/lib/d%d/file%d", i%200, i), Mode: 0o644, Size: int64(size), ModTime: when})
		w.Write(data[:size])
	}
	w.Close()
	return compressed(b.Bytes())
})

func compressed(b []byte) map[Compression][]byte {
	var g, z bytes.Buffer
	gw := gzip.NewWriter(&g)
	gw.Write(b)
	gw.Close()
	zw, _ := zstd.NewWriter(&z)
	zw.Write(b)
	zw.Close()
	return map[Compression][]byte{Plain: b, Gzip: g.Bytes(), Zstd: z.Bytes()}
}

func compressions(b *testing.B, fn func(b *testing.B, c Compression)) {
	for _, c := range []Compression{Plain, Gzip, Zstd} {
		b.Run(c.String(), func(b *testing.B) { fn(b, c) })
	}
}

// decodeOnly is what a layer costs at least: both digests, and the tar thrown away.
func decodeOnly(c Compression, layer []byte) error {
	blob, tarSum := sha256.New(), sha256.New()
	var r io.Reader = io.TeeReader(bytes.NewReader(layer), blob)
	switch c {
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		r = z
	case Zstd:
		z, err := zstd.NewReader(r)
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	}
	_, err := io.CopyBuffer(struct{ io.Writer }{tarSum}, struct{ io.Reader }{r}, make([]byte, 256<<10))
	return err
}

func BenchmarkDecodeOnly(b *testing.B) {
	compressions(b, func(b *testing.B, c Compression) {
		layer := benchLayer()[c]
		b.SetBytes(int64(len(benchLayer()[Plain])))
		for b.Loop() {
			if err := decodeOnly(c, layer); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// packOnce packs into a new directory, which done removes again.
func packOnce(b *testing.B, base string, layer []byte) (done func()) {
	dst, err := os.MkdirTemp(base, "l")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := Pack(context.Background(), bytes.NewReader(layer), dst, PackOptions{}); err != nil {
		b.Fatal(err)
	}
	return func() { os.RemoveAll(dst) }
}

func BenchmarkPack(b *testing.B) {
	compressions(b, func(b *testing.B, c Compression) {
		layer, base := benchLayer()[c], b.TempDir()
		b.SetBytes(int64(len(benchLayer()[Plain])))
		for b.Loop() {
			done := packOnce(b, base, layer)
			b.StopTimer()
			done()
			b.StartTimer()
		}
	})
}

// BenchmarkPackOverhead runs both by turns and reports how many times
// decoding alone packing takes (to stay below 1.3), and the same of the
// processor's time.
func BenchmarkPackOverhead(b *testing.B) {
	compressions(b, func(b *testing.B, c Compression) {
		layer, base := benchLayer()[c], b.TempDir()
		var pack, decode, packCPU, decodeCPU time.Duration
		for b.Loop() {
			t, cpu := time.Now(), cpuTime()
			if err := decodeOnly(c, layer); err != nil {
				b.Fatal(err)
			}
			decode, decodeCPU = decode+time.Since(t), decodeCPU+cpuTime()-cpu
			t, cpu = time.Now(), cpuTime()
			done := packOnce(b, base, layer)
			pack, packCPU = pack+time.Since(t), packCPU+cpuTime()-cpu
			done()
		}
		b.ReportMetric(pack.Seconds()/decode.Seconds(), "x-decode")
		b.ReportMetric(packCPU.Seconds()/decodeCPU.Seconds(), "x-decode-cpu")
	})
}

func cpuTime() time.Duration {
	var r unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// benchTars are 8 layers with 50,000 entries.
var benchTars = sync.OnceValue(func() (tars [][]byte) {
	r := rand.New(rand.NewPCG(3, 4))
	for l := range 8 {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for d := range 50 {
			top := fmt.Sprintf("usr/share/pkg%d-%d", l, d)
			w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: top + "/", Mode: 0o755, ModTime: when})
			for i := range 125 {
				w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%s/%x-file%d.so", top, r.Uint32(), i), Mode: 0o644, Size: 1, ModTime: when})
				w.Write([]byte{byte(i)})
			}
		}
		w.Close()
		tars = append(tars, b.Bytes())
	}
	return tars
})

func benchChain(b *testing.B) []cow.Layer {
	b.Helper()
	return packChain(b, benchTars()...)
}

func BenchmarkBuildIndex(b *testing.B) {
	layers := benchChain(b)
	dst := filepath.Join(b.TempDir(), "index")
	b.ReportAllocs()
	for b.Loop() {
		if err := BuildIndex(context.Background(), dst, layers); err != nil {
			b.Fatal(err)
		}
	}
	st, _ := os.Stat(dst)
	b.ReportMetric(float64(st.Size()), "index-bytes")
}

// benchIndex also gives all directories and, for each name, its directory.
func benchIndex(b *testing.B) (x *Index, dirs []NID, parents []NID, names [][]byte, inodes []NID) {
	x, _ = buildOpen(b, benchChain(b))
	var stack = map[string]NID{}
	x.Walk(func(path []byte, d *Dirent, a *Attr) error {
		if d.Type == 4 {
			stack[string(path)] = a.NID
			dirs = append(dirs, a.NID)
		}
		if len(path) > 0 {
			up := filepath.Dir(string(path))
			if up == "." {
				up = ""
			}
			parents, names, inodes = append(parents, stack[up]), append(names, d.Name), append(inodes, a.NID)
		}
		return nil
	})
	rand.New(rand.NewPCG(5, 6)).Shuffle(len(names), func(i, j int) {
		parents[i], parents[j], names[i], names[j], inodes[i], inodes[j] = parents[j], parents[i], names[j], names[i], inodes[j], inodes[i]
	})
	return
}

func BenchmarkLookup(b *testing.B) {
	x, _, parents, names, inodes := benchIndex(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		d, err := x.Lookup(parents[i], names[i])
		if err != nil || d.NID != inodes[i] {
			b.Fatal(d, err)
		}
		if i++; i == len(names) {
			i = 0
		}
	}
}

func BenchmarkLookupMissing(b *testing.B) {
	x, dirs, _, _, _ := benchIndex(b)
	b.ReportAllocs()
	i, name := 0, []byte("libmissing.so.6")
	for b.Loop() {
		if _, err := x.Lookup(dirs[i], name); err != fs.ErrNotExist {
			b.Fatal(err)
		}
		if i++; i == len(dirs) {
			i = 0
		}
	}
}

func BenchmarkStat(b *testing.B) {
	x, _, _, _, inodes := benchIndex(b)
	b.ReportAllocs()
	var a Attr
	i := 0
	for b.Loop() {
		if err := x.Stat(inodes[i], &a); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(inodes) {
			i = 0
		}
	}
}

func BenchmarkReadDirEntry(b *testing.B) {
	x, dirs, _, _, _ := benchIndex(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n = 0
		for _, d := range dirs {
			if err := x.ReadDir(d, 0, func(*Dirent) bool { n++; return true }); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/entry")
}

func BenchmarkOpenIndex(b *testing.B) {
	_, path := buildOpen(b, benchChain(b))
	b.ReportAllocs()
	for b.Loop() {
		x, err := OpenIndex(path)
		if err != nil {
			b.Fatal(err)
		}
		x.Close()
	}
}

package unionfs

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// benchFS is a union over n files in one packed directory, not mounted.
func benchFS(b *testing.B, n int) *FS {
	dir := scratch(b)
	mkdirs(b, dir+"/low", dir+"/pk")
	for i := range n {
		write(b, fmt.Sprintf("%s/low/file%06d", dir, i), "")
	}
	o, err := openBase(packChain(b, dir+"/pk", dir+"/low"))
	must(b, err)
	f, err := New(o)
	must(b, err)
	b.Cleanup(func() { f.Close() })
	return f
}

// readAllEntries reads the root and returns how many entries it had, in how many requests.
func readAllEntries(b *testing.B, f *FS, buf []byte) (entries, requests int) {
	in := &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: fuse.FUSE_ROOT_ID}}
	for {
		out := fuse.NewDirEntryList(buf, in.Offset)
		if st := f.ReadDirPlus(nil, in, out); !st.Ok() {
			b.Fatal(st)
		}
		requests++
		if len(out.Bytes()) == 0 {
			return entries, requests
		}
		entries += len(out.Bytes()) / 168
		in.Offset = out.Offset
	}
}

// BenchmarkReadDirPlus lists 20,000 known files: time and allocations an entry.
func BenchmarkReadDirPlus(b *testing.B) {
	f := benchFS(b, 20_000)
	buf := make([]byte, 32<<10)
	readAllEntries(b, f, buf)
	b.ReportAllocs()
	n := 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		k, _ := readAllEntries(b, f, buf)
		n += k
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/entry")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(n), "allocs/entry")
}

// BenchmarkNodeMemory tells what a known file costs, in bytes.
func BenchmarkNodeMemory(b *testing.B) {
	f := benchFS(b, 100_000)
	buf := make([]byte, 32<<10)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		readAllEntries(b, f, buf)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(f.Nodes()), "bytes/node")
}

// BenchmarkLookup finds a name that is known and one that is not there.
func BenchmarkLookup(b *testing.B) {
	f := benchFS(b, 20_000)
	h := &fuse.InHeader{NodeId: fuse.FUSE_ROOT_ID}
	for _, name := range []string{"file012345", "nothing"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var out fuse.EntryOut
			for b.Loop() {
				if st := f.Lookup(nil, h, name, &out); !st.Ok() {
					b.Fatal(st)
				}
			}
		})
	}
}

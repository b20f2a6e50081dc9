package layerpack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
)

// TestFarData: data beyond 4 GiB of a tar, and files larger than that. The tar
// is all hole on disk.
func TestFarData(t *testing.T) {
	const size = 5<<30 + 1000
	d, err := os.MkdirTemp("", "far")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(d)
	l := cow.Layer{Dir: d, DiffID: digest.FromString("far")}
	f, err := os.Create(l.Tar())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := tarOf(t, file("large", ""))[:512]
	copy(h[124:136], "\x80\x00\x00\x00\x00\x00\x00\x01\x40\x00\x03\xe8")
	resum(h)
	f.WriteAt(h, 0)
	f.WriteAt([]byte("at the end"), 512+size-10)
	f.WriteAt(tarOf(t, file("after", "far away")), 512+padded(size))
	if err := Scan(context.Background(), l.Tar(), l.TOC()); err != nil {
		t.Fatal(err)
	}
	layers := []cow.Layer{l}
	x, index := buildOpen(t, layers)
	e := must(x.Lookup(x.Root(), []byte("after")))
	diff(t, "extents", []Extent{{0, 512 + padded(size) + 512, 8}}, must(x.Extents(e.NID, 0, 1<<40, nil)))
	e = must(x.Lookup(x.Root(), []byte("large")))
	diff(t, "extents", []Extent{{0, 512 + size - 10, 10}}, must(x.Extents(e.NID, size-10, 1<<40, nil)))
	at := mountEROFS(t, index, layers)
	if b := must(os.ReadFile(filepath.Join(at, "after"))); string(b) != "far away" {
		t.Errorf("%q", b)
	}
	g := must(os.Open(filepath.Join(at, "large")))
	defer g.Close()
	b := make([]byte, 20)
	if n, err := g.ReadAt(b, size-10); n != 10 || err != io.EOF || string(b[:n]) != "at the end" {
		t.Errorf("%q, %v", b[:n], err)
	}
}

// TestManyLayers: a chain of 300, each with a file of its own, one that all
// share, and a whiteout of the layer before.
func TestManyLayers(t *testing.T) {
	const n = 300
	var layers []cow.Layer
	base := t.TempDir()
	for i := range n {
		layers = append(layers, packLayer(t, base, tarOf(t, file(fmt.Sprintf("d/f%d", i), fmt.Sprint("data ", i)),
			file("shared", strings.Repeat("s", i)), file(fmt.Sprintf("d/.wh.f%d", i-2), ""), hard(fmt.Sprintf("h%d", i), fmt.Sprintf("d/f%d", i)))))
	}
	x, index := buildOpen(t, layers)
	got := indexView(t, x, layers)
	if len(got) != n+5 {
		t.Errorf("%d paths", len(got))
	}
	diff(t, "the kernel's erofs against the index", without(got, dropLayer), hostView(t, mountEROFS(t, index, layers)))
}

// TestManyNames: one directory that needs many blocks.
func TestManyNames(t *testing.T) {
	var b bytes.Buffer
	for i := range 20000 {
		h := tarOf(t, file(fmt.Sprintf("d/%d", i*7919%20000), ""))
		b.Write(h[:512])
	}
	layers := packChain(t, b.Bytes())
	x, index := buildOpen(t, layers)
	got := indexView(t, x, layers)
	if len(got) != 20002 {
		t.Errorf("%d paths", len(got))
	}
	diff(t, "the kernel's erofs against the index", without(got, dropLayer), hostView(t, mountEROFS(t, index, layers)))
}

package layerpack

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cfs-project/cfs/cow"
)

// when is the time of test entries that name none.
var when = time.Unix(1700000000, 0)

// file, dir, link, hard and the like describe entries of a test tar.
func file(name, data string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: when, Linkname: "", Uname: data}
}

func dir(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: when}
}

func link(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: when}
}

func hard(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644, ModTime: when}
}

func node0(name string, typ byte, major, minor int64) tar.Header {
	return tar.Header{Typeflag: typ, Name: name, Mode: 0o600, Devmajor: major, Devminor: minor, ModTime: when}
}

// tarOf makes a tar. A file's data travels in its Uname.
func tarOf(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		data := ""
		if h.Typeflag == tar.TypeReg {
			data, h.Uname = h.Uname, ""
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// packLayer packs a tar into a directory of its own below dir.
func packLayer(t testing.TB, dir string, b []byte) cow.Layer {
	t.Helper()
	dst, err := os.MkdirTemp(dir, "layer")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Pack(context.Background(), bytes.NewReader(b), dst, PackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return cow.Layer{DiffID: p.DiffID, Dir: dst}
}

// packChain packs tars, bottom first.
func packChain(t testing.TB, tars ...[]byte) []cow.Layer {
	t.Helper()
	dir := t.TempDir()
	var ls []cow.Layer
	for _, b := range tars {
		ls = append(ls, packLayer(t, dir, b))
	}
	return ls
}

// buildOpen makes the index of a chain and opens it.
func buildOpen(t testing.TB, layers []cow.Layer) (*Index, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.erofs")
	if err := BuildIndex(context.Background(), path, layers); err != nil {
		t.Fatal(err)
	}
	x, err := OpenIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x, path
}

// view is one path as a test compares it.
type view struct {
	Mode       uint32
	UID, GID   uint32
	Nlink      uint32
	Rdev       uint64
	Size       int64
	Mtime      int64
	MtimeNsec  uint32
	Target     string
	Xattrs     map[string]string
	Data       string // sha256 of the content
	SameInode  string // the first path of the same inode, if another
	LayerKnown int    // 1 + layer, where the side that is looked at knows it
}

func diff(t testing.TB, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return v
}

package layerpack

import (
	"archive/tar"
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/cfs-project/cfs/cow"
)

// TestContentSize: files and symlinks count, once each, and nothing else does.
func TestContentSize(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "d/a", Size: 1000},
		{Typeflag: tar.TypeReg, Name: "d/b", Size: 500},
		{Typeflag: tar.TypeReg, Name: "d/b", Size: 70}, // again
		{Typeflag: tar.TypeReg, Name: "d/c", Size: 30},
		{Typeflag: tar.TypeReg, Name: "d/c"}, // again, empty
		{Typeflag: tar.TypeSymlink, Name: "d/l", Linkname: "four"},
		{Typeflag: tar.TypeLink, Name: "d/h", Linkname: "d/a"},
		{Typeflag: tar.TypeFifo, Name: "d/f"},
	} {
		if err := w.WriteHeader(&e); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(strings.Repeat("x", int(e.Size)))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := Pack(context.Background(), &b, dir, PackOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := ContentSize(cow.Layer{Dir: dir}); err != nil || got != 1000+70+4 {
		t.Errorf("%d bytes, %v", got, err)
	}
}

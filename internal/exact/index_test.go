package exact

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/imagegen"
	"github.com/cfs-project/cfs/internal/treediff"
	"github.com/cfs-project/cfs/layerpack"
)

// indexRecord is a chain as its index tells it, with nobody's kernel between.
func indexRecord(t *testing.T, c cow.Chain) *treediff.Record {
	t.Helper()
	x, err := layerpack.OpenIndex(c.Index)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var tars []*os.File
	for _, l := range c.Layers {
		f, err := os.Open(l.Tar())
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		tars = append(tars, f)
	}
	tars = append(tars, x.File())
	r := new(treediff.Record)
	var ids []uint64
	err = x.Walk(func(path []byte, d *layerpack.Dirent, a *layerpack.Attr) error {
		e := treediff.Entry{Path: string(path), Mode: a.Mode, UID: a.UID, GID: a.GID, Size: a.Size,
			Sec: a.Mtime, Nsec: int64(a.MtimeNsec), Nlink: uint64(a.Nlink)}
		if e.Path == "" {
			e.Path = treediff.Root
		}
		if want := uint8(a.Mode >> 12 & 0xf); e.Path != treediff.Root && d.Type != want {
			t.Errorf("%q: directory entry says type %d, inode says %d", path, d.Type, want)
		}
		var err error
		switch a.Mode & unix.S_IFMT {
		case unix.S_IFCHR, unix.S_IFBLK:
			e.Rdev = a.Rdev
		case unix.S_IFLNK:
			var l []byte
			l, err = x.Readlink(a.NID)
			e.Link = string(l)
		case unix.S_IFREG:
			e.SHA256, err = hashExtents(x, tars, a)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
		err = x.Xattrs(a.NID, func(name, value []byte) bool {
			e.Xattrs = append(e.Xattrs, treediff.Xattr{Name: string(name), Value: string(value)})
			return true
		})
		r.Entries = append(r.Entries, e)
		ids = append(ids, uint64(a.NID))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Entries {
		slices.SortFunc(r.Entries[i].Xattrs, func(a, b treediff.Xattr) int { return strings.Compare(a.Name, b.Name) })
	}
	r.Sort(ids)
	return r
}

func hashExtents(x *layerpack.Index, tars []*os.File, a *layerpack.Attr) (string, error) {
	ext, err := x.Extents(a.NID, 0, a.Size, nil)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, e := range ext {
		b := make([]byte, e.Len)
		if e.Layer >= 0 {
			if _, err := tars[e.Layer].ReadAt(b, e.Off); err != nil {
				return "", err
			}
		}
		h.Write(b)
	}
	return string(h.Sum(nil)), nil
}

// The index alone, without FUSE and without root, over many more chains.
func TestIndexIsWhatTheLayersComeTo(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			n := []int{8, 20, 60}[seed%3]
			layers := imagegen.Chain(100+seed, n)
			want, implied, err := imagegen.Expect(layers)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			var tars [][]byte
			for i, l := range layers {
				tars = append(tars, []imagegen.Compression{imagegen.Plain, imagegen.Gzip, imagegen.Zstd}[i%3].Compress(l.Tar()))
			}
			in := filepath.Join(dir, "in")
			if err := os.Mkdir(in, 0o755); err != nil {
				t.Fatal(err)
			}
			c, err := packChain(context.Background(), dir, readable(t, in, tars))
			if err != nil {
				t.Fatal(err)
			}
			expectSame(t, want, indexRecord(t, c), treediff.Ignore{DirSize: true, MtimeOf: implied})
		})
	}
}

package layerpack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// sentinel tells whether err is one that bad input may cause.
func sentinel(err error) bool {
	return errors.Is(err, ErrInvalid) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrBomb)
}

// FuzzScan: any bytes are entries or a refusal, the same in one piece and in
// many, and what was accepted survives the table of contents, the merge and
// the index.
func FuzzScan(f *testing.F) {
	f.Add(tarOf(f, dir("a/"), file("a/b", "data"), hard("c", "a/b"), link("l", "a"), file("l/.wh.b", "")), uint16(100))
	f.Add(paxTar(f, 'x', "path=x", "mtime=-1.5", "SCHILY.xattr.user.x=y", "LIBARCHIVE.xattr.user.z=AAAA"), uint16(512))
	f.Add(paxTar(f, 'g', "uid=7"), uint16(1))
	f.Add(paxTar(f, 'x', "GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.size=5000", "GNU.sparse.map=512,4"), uint16(77))
	f.Add(paxTar(f, 'x', "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=5000", "GNU.sparse.name=s"), uint16(3))
	f.Add(patched(f, node0("n", '3', 1, 3), func(b []byte) { copy(b[257:], "ustar  \x00") }), uint16(600))
	f.Add(tarOf(f, file(".prefetch.landmark", "\x0f"), file("stargz.index.json", stargzJSON)), uint16(9))
	for _, format := range sparseFormats {
		f.Add(sparseTar(f, format, "s", 5000, []int64{100, 700, 4999}, []string{"ab", strings.Repeat("c", 600), "d"}), uint16(500))
	}
	f.Fuzz(func(t *testing.T, b []byte, piece uint16) {
		for i := 0; i+512 <= len(b); i += 512 {
			// Blocks that look like headers get a right checksum, or the
			// fuzzer never comes further.
			if tarBlock(b[i:i+512]).dialect() != v7 {
				resum(b[i : i+512])
			}
		}
		s, whole, err := scanned(b, len(b)+1)
		pieces, err2 := scanAll(b, int(piece)+1)
		if fmt.Sprint(err) != fmt.Sprint(err2) || fmt.Sprint(whole) != fmt.Sprint(pieces) {
			t.Fatalf("whole: %v %v\npieces: %v %v", whole, err, pieces, err2)
		}
		if err != nil {
			if !sentinel(err) {
				t.Fatal(err)
			}
			return
		}
		var buf bytes.Buffer
		w := newTOCWriter(&buf)
		for i := range whole {
			w.add(&whole[i])
		}
		if err := w.finish(s); err != nil {
			t.Fatal(err)
		}
		c, err := parseTOC(buf.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		err = c.each(func(e *entry) error {
			want := whole[i]
			if e.kind != kindFile || want.holes && len(want.sparse) == 0 {
				want.off, e.off = 0, 0
			}
			if e.kind != kindFile {
				want.off, want.size = 0, 0
			}
			if e.kind != kindHardLink && e.kind != kindSymlink {
				want.target = ""
			}
			if fmt.Sprint(want) != fmt.Sprint(*e) {
				t.Fatalf("wrote %+v\nread  %+v", want, *e)
			}
			i++
			return nil
		})
		if err != nil || i != len(whole) {
			t.Fatal(err)
		}
		readBack(t, c, bytes.NewReader(b))
	})
}

// readBack merges a table of contents with itself, and reads the index.
func readBack(t *testing.T, c toc, tar io.ReaderAt) {
	m := newMerger()
	for layer := range 2 {
		if err := m.apply(context.Background(), layer, c); err != nil {
			if !sentinel(err) {
				t.Fatal(err)
			}
			return
		}
	}
	refs := []tarRef{{fmt.Sprintf("%064x", 1), c.tarSize, tar}, {fmt.Sprintf("%064x", 2), c.tarSize, tar}}
	im, err := layout(m.root, refs, blockBits)
	if err != nil {
		if !sentinel(err) {
			t.Fatal(err)
		}
		return
	}
	var buf bytes.Buffer
	if im.composedBlocks > 8<<20>>blockBits || im.chunks > 1<<18 {
		return // as large as its tar says: too much to hold in memory
	}
	if err := im.write(context.Background(), &buf); err != nil {
		t.Fatal(err)
	}
	x, err := newIndex(buf.Bytes(), "fuzz")
	if err != nil {
		t.Fatal(err)
	}
	if err := readAll(x); err != nil {
		t.Fatal(err)
	}
}

// readAll asks the index everything about everything.
func readAll(x *Index) error {
	return x.Walk(func(path []byte, d *Dirent, a *Attr) error {
		if err := x.Xattrs(a.NID, func(name, value []byte) bool {
			_, err := x.Xattr(a.NID, name)
			return err == nil
		}); err != nil {
			return err
		}
		switch a.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			size := a.Size
			if size > 1<<40 {
				size = 1 << 40
			}
			_, err := x.Extents(a.NID, a.Size-size, size, nil)
			return err
		case unix.S_IFLNK:
			_, err := x.Readlink(a.NID)
			return err
		case unix.S_IFDIR:
			var bad error
			err := x.ReadDir(a.NID, 0, func(e *Dirent) bool {
				if got, err := x.Lookup(a.NID, e.Name); err != nil || got.NID != e.NID {
					bad = fmt.Errorf("%w: %q isn't found: %v", ErrCorrupt, e.Name, err)
				}
				return bad == nil
			})
			return errors.Join(err, bad)
		}
		return nil
	})
}

// zerosAt is a tar of any size.
type zerosAt struct{}

func (zerosAt) ReadAt(b []byte, _ int64) (int, error) { clear(b); return len(b), nil }

// FuzzTOC: any bytes with a right checksum are a table of contents or damage.
func FuzzTOC(f *testing.F) {
	for _, l := range everything(f) {
		b := must(os.ReadFile(l.TOC()))
		f.Add(b[len(tocMagic):len(b)-tocFooter], uint64(20), uint64(1<<20))
	}
	f.Add([]byte("\x80\x00\x00\x00\x00\x00\x01f\x80\x20\x00\x01\x80\x04\x80\x04"), uint64(1), uint64(4096))
	f.Fuzz(func(t *testing.T, body []byte, n, size uint64) {
		b := append([]byte(tocMagic), body...)
		b = le.AppendUint64(b, n)
		b = le.AppendUint64(b, size)
		b = le.AppendUint64(b, 0)
		b = le.AppendUint32(b, crc32.Checksum(b, castagnoli))
		c, err := parseTOC(b)
		if err == nil {
			err = c.each(func(*entry) error { return nil })
		}
		if err != nil {
			if !sentinel(err) {
				t.Fatal(err)
			}
			return
		}
		m := newMemberSums(c)
		m.Write(make([]byte, min(size, 64<<10)))
		m.report("tar", func(d Damage) {
			if d.Off < 0 || d.Len < 0 || d.Off+d.Len > int64(size) {
				t.Fatalf("damage outside of the tar: %v", d)
			}
		})
		readBack(t, c, zerosAt{})
	})
}

// FuzzIndex: whatever an image holds, reading it ends, in bounds, with answers
// or ErrCorrupt.
func FuzzIndex(f *testing.F) {
	layers := packChain(f, tarOf(f, dir("d/"), file("d/f", "data"), link("l", "d"), hard("h", "d/f"), pax(map[string]string{"SCHILY.xattr.user.x": "y"})))
	_, path := buildOpen(f, layers)
	f.Add(must(os.ReadFile(path)), uint16(1500), uint64(0xffff))
	f.Fuzz(func(t *testing.T, b []byte, at uint16, with uint64) {
		if len(b) < superOffset+blockSize {
			return
		}
		if int(at)+8 <= len(b) {
			le.PutUint64(b[at:], le.Uint64(b[at:])^with)
		}
		sb := b[superOffset : superOffset+blockSize]
		le.PutUint32(sb[sbChecksum:], superChecksum(sb))
		x, err := newIndex(b, "fuzz")
		if err == nil {
			err = readAll(x)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, unix.EINVAL) {
			t.Fatal(err)
		}
	})
}

// FuzzDecode: any bytes unpack or are refused, and the pipeline ends.
func FuzzDecode(f *testing.F) {
	// Decoders may be asked for windows of 128 MiB; the garbage of the last ones
	// is collected before the process holds twice as much.
	debug.SetMemoryLimit(192 << 20)
	b := tarOf(f, file("f", "some data, some data, some data"))
	f.Add(b)
	f.Add(gz(f, b))
	f.Add(zst(f, b))
	f.Add(cat(gz(f, b), gz(f, b), []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := Pack(context.Background(), bytes.NewReader(b), t.TempDir(), PackOptions{MaxSize: 1 << 20})
		if err != nil && !sentinel(err) {
			t.Fatal(err)
		}
	})
}

// FuzzPath: a clean path stays inside, and is what path.Clean makes of it.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"", ".", "/", "./a", "a/../b", "../a", "a/./b//c/", "/../a", "..", "a/.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := cleanPath(s)
		want, bad := clean(s)
		if err == nil && (bad != nil || got != want) || err != nil && bad == nil && s != "" && len(s) <= maxName {
			t.Fatalf("%q: %q, %v; want %q, %v", s, got, err, want, bad)
		}
		markOf(got)
	})
}

package layerpack

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/whiteout"
)

// FuzzMember: what is written of a header is what archive/tar and the scanner
// read of it.
func FuzzMember(f *testing.F) {
	f.Add(byte('0'), "dir/file", "", uint32(0o644), uint32(0), uint32(0), int64(5), int64(1700000000), uint32(0), "user.a", "v", int64(0))
	f.Add(byte('5'), strings.Repeat("d/", 80), "", uint32(0o1777), uint32(1<<31), uint32(1<<21), int64(0), int64(-1), uint32(1), "", "", int64(0))
	f.Add(byte('2'), "\xff\xfe/l", strings.Repeat("ä", 90), uint32(0o777), uint32(0), uint32(0), int64(0), int64(1<<33), uint32(999999999), "user.x=y", "\x00\n", int64(0))
	f.Add(byte('0'), "sparse", "", uint32(0o600), uint32(0), uint32(0), int64(1<<34), int64(0), uint32(0), "", "", int64(8192))
	f.Add(byte('3'), "null", "", uint32(0o666), uint32(1), uint32(3), int64(0), int64(0), uint32(0), "user.%41", "", int64(0))
	f.Fuzz(func(t *testing.T, typ byte, name, target string, mode, uid, gid uint32, size, mtime int64, nsec uint32, key, value string, data int64) {
		m := member{typ: typ, name: name, mode: mode & 07777, uid: uid % (maxID + 1), gid: gid % (maxID + 1), mtime: mtime, nsec: nsec % 1e9}
		p, err := cleanPath(name)
		if kind, _, bad := markOf(p); err != nil || p == "" || bad != nil || kind != whiteout.Ordinary || strings.IndexByte(name, 0) >= 0 {
			return
		}
		m.name = p
		switch typ {
		case '0':
			if size < 0 || size > maxTar {
				return
			}
			m.size = size
			if data > 0 && data < size { // all of it but data bytes at the end is a hole
				off := size - data
				m.holes, m.sparse = true, []cow.Extent{{Off: off &^ (holeUnit - 1), Len: size - off&^(holeUnit-1)}}
				m.holes = off >= holeUnit
			}
			if !m.holes {
				m.sparse = nil
			}
		case '1', '2':
			if _, err := cleanPath(target); target == "" || len(target) > maxTarget || strings.IndexByte(target, 0) >= 0 || err != nil {
				return
			}
			m.target = target
		case '3', '4':
			m.major, m.minor = uid%(maxMajor+1), gid%(maxMinor+1)
		case '5':
			m.name += "/"
		case '6':
		default:
			return
		}
		if key != "" && len(key) < maxName && strings.IndexByte(key, 0) < 0 && len(value) <= 0xffff {
			m.xattrs = map[string]string{key: value}
		}
		b, stored, err := m.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(b)%blockSize != 0 {
			t.Fatalf("headers of %d bytes", len(b))
		}
		if stored < 1<<20 {
			b = append(b, make([]byte, padded(stored)-mapOf(&m)+2*blockSize)...)
		}
		var got *entry
		s := &scanner{emit: func(e *entry) error { c := *e; got = &c; return nil }}
		if _, err := s.Write(b); err != nil || got == nil {
			t.Fatalf("%+v: the scanner says %v", m, err)
		}
		want := entry{mode: m.mode, uid: m.uid, gid: m.gid, mtime: m.mtime, nsec: m.nsec, name: m.name, size: m.size, major: m.major, minor: m.minor, target: m.target, holes: m.holes}
		want.kind = map[byte]kind{'0': kindFile, '1': kindHardLink, '2': kindSymlink, '3': kindChar, '4': kindBlock, '5': kindDir, '6': kindFifo}[typ]
		for k, v := range m.xattrs {
			want.xattrs = []xattr{{k, v}}
		}
		for _, r := range m.sparse {
			want.sparse = append(want.sparse, run{r.Off, r.Len, 0})
		}
		if entryString(want) != entryString(*got) {
			t.Fatalf("wrote %s\nread  %s", entryString(want), entryString(*got))
		}
		h, err := tar.NewReader(bytes.NewReader(b)).Next()
		if err != nil {
			t.Fatalf("%+v: archive/tar says %v", m, err)
		}
		if h.Name != m.name || h.Linkname != m.target || h.Size != m.size || h.Mode != int64(m.mode) || h.Uid != int(m.uid) || h.Gid != int(m.gid) ||
			h.ModTime.Unix() != m.mtime || h.ModTime.Nanosecond() != int(m.nsec) || h.Typeflag != typ || h.Devmajor != int64(m.major) || h.Devminor != int64(m.minor) {
			t.Fatalf("wrote %+v\narchive/tar reads %+v", m, h)
		}
	})
}

// mapOf is the length of the map of a sparse member, which append wrote.
func mapOf(m *member) int64 {
	if !m.holes {
		return 0
	}
	return int64(len(appendSparseMap(nil, m.sparse, m.size)))
}

// builder makes an upper directory, or a base, of bytes: any objects with any
// marks.
type builder struct {
	b    []byte
	root string
}

func (b *builder) next(n int) int {
	if len(b.b) == 0 {
		return 0
	}
	v := int(b.b[0]) % n
	b.b = b.b[1:]
	return v
}

func (b *builder) pick(of ...string) string { return of[b.next(len(of))] }

func (b *builder) path() string {
	p := b.root
	for range 1 + b.next(3) {
		p += "/" + b.pick("a", "b", "c", ".wh.a", ".wh..wh..opq", "\xff")
	}
	return p
}

func (b *builder) text() string {
	if b.next(4) > 0 {
		return b.pick("", "y", "x", "/a", "a", "/a/b", "4096", "100", "-1", "/.wh..wh.cfs-partial/a", "0:0:0644", "1:2:0755:symlink", "7:8:0600:char-1-3", "..", "/")
	}
	n := min(b.next(64), len(b.b))
	s := string(b.b[:n])
	b.b = b.b[n:]
	return s
}

// op does one thing; it may fail.
func (b *builder) op() {
	p := b.path()
	at := []unix.Timespec{{Sec: 1}, {Sec: int64(b.next(3))}}
	switch b.next(10) {
	case 0:
		os.Mkdir(p, 0o755)
	case 1:
		// Not blocking, should it be a fifo by now.
		if f, err := os.OpenFile(p, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|unix.O_NONBLOCK, 0o644); err == nil {
			f.WriteString(b.text())
			f.Close()
		}
	case 2:
		if f, err := os.OpenFile(p, os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644); err == nil {
			f.WriteAt([]byte("data"), int64(b.next(4))*4000)
			f.Truncate(int64(b.next(8)) * 3000)
			f.Close()
		}
	case 3:
		unix.Mknod(p, unix.S_IFCHR, 0)
	case 4:
		os.Symlink(b.pick("a", "/", "..", "b/c"), p)
	case 5:
		os.Link(b.path(), p)
	case 6:
		unix.Mknod(p, []uint32{unix.S_IFIFO, unix.S_IFSOCK}[b.next(2)]|0o600, 0)
	case 7, 8:
		name := b.pick("user.overlay.opaque", "user.overlay.redirect", "user.overlay.metacopy", "user.overlay.cfs.partial", "user.overlay.whiteout",
			"user.overlay.overlay.opaque", "user.containers.override_stat", "user.fuseoverlayfs.opaque", "user.x")
		unix.Lsetxattr(p, name, []byte(b.text()), 0)
	case 9:
		os.Chmod(p, os.FileMode(0o700|b.next(64)))
	}
	unix.UtimesNanoAt(unix.AT_FDCWD, p, at, unix.AT_SYMLINK_NOFOLLOW)
}

// FuzzDiff: whatever an upper directory holds, its diff ends, is in order, and
// what it says can be read; the layer made of it can be packed and stacked.
func FuzzDiff(f *testing.F) {
	f.Add([]byte("\x00\x00\x01\x01\x00\x01\x02"), []byte("\x00\x01\x00\x03"), byte(2))
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), []byte("abcdefghijklmnopqrstuvwxyz0123456789"), byte(5))
	dialects := []whiteout.Dialect{whiteout.User, whiteout.UserFiles, whiteout.FuseOverlay, whiteout.Plain, whiteout.AUFS}
	f.Fuzz(func(t *testing.T, low, up []byte, d byte) {
		top := t.TempDir()
		for _, b := range []*builder{{low, top + "/base"}, {up, top + "/upper"}} {
			if err := os.Mkdir(b.root, 0o755); err != nil {
				t.Fatal(err)
			}
			for len(b.b) > 0 {
				b.op()
			}
		}
		baseTar := treeTar(t, top+"/base")
		layers := packChain(t, baseTar)
		_, index := buildOpen(t, layers)
		base, err := OpenBase(cow.Chain{Layers: layers, Index: index}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer base.Close()
		u := cow.Upper{Dir: top + "/upper", Dialect: dialects[int(d)%len(dialects)], Base: base}
		checkOrder(t, u)
		var out bytes.Buffer
		w, err := WriteLayer(context.Background(), &out, u.Diff(), WriteOptions{})
		if err != nil {
			return
		}
		again := sha(t, u)
		if again != w.DiffID.String() {
			t.Fatalf("the second time it is %s, not %s", again, w.DiffID)
		}
		chain := append(layers[:1:1], packLayer(t, top, out.Bytes()))
		x, _ := buildOpen(t, chain)
		if err := readAll(x); err != nil {
			t.Fatal(err)
		}
	})
}

func sha(t testing.TB, u cow.Upper) string {
	w, err := WriteLayer(context.Background(), io.Discard, u.Diff(), WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return w.DiffID.String()
}

// treeTar is a plain tree as a layer.
func treeTar(t testing.TB, dir string) []byte {
	t.Helper()
	none, err := cow.OpenDirBase(nil, whiteout.Plain)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := WriteLayer(context.Background(), &b, cow.Compare(none, dir), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// checkOrder compares the diff with the list of changes, and looks that each
// name comes after its directory and in its order.
func checkOrder(t testing.TB, u cow.Upper) {
	t.Helper()
	kinds := map[string]cow.Kind{}
	last := ""
	for e, err := range u.Diff() {
		if err != nil {
			return
		}
		if e.Path != filepath.Clean(e.Path) || !strings.HasPrefix(e.Path, "/") || strings.ReplaceAll(last, "/", "\x00") >= strings.ReplaceAll(e.Path, "/", "\x00") {
			t.Fatalf("%q comes after %q", e.Path, last)
		}
		last = e.Path
		if up := filepath.Dir(e.Path); up != "/" && kinds[up] == 0 {
			t.Fatalf("%q comes without its directory", e.Path)
		}
		kinds[e.Path] = e.Kind
		if e.Kind == cow.Deleted != (e.Attr == cow.Attr{}) || e.Kind == cow.Added != (e.Before == cow.Attr{}) {
			t.Fatalf("%+v", e)
		}
	}
	for c, err := range u.Changes() {
		if err != nil || kinds[c.Path] != c.Kind {
			t.Fatalf("the list of changes has %v %q, the diff %v: %v", c.Kind, c.Path, kinds[c.Path], err)
		}
	}
}

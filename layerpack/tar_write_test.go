package layerpack

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cfs-project/cfs/cow"
)

// goTar is what archive/tar writes for m, which has no holes; nil if it can't.
func goTar(t testing.TB, m *member) []byte {
	t.Helper()
	var b bytes.Buffer
	h := tar.Header{
		Typeflag: m.typ, Name: m.name, Linkname: m.target, Mode: int64(m.mode), Uid: int(m.uid), Gid: int(m.gid),
		Size: m.size, ModTime: time.Unix(m.mtime, int64(m.nsec)), Devmajor: int64(m.major), Devminor: int64(m.minor),
	}
	for k, v := range m.xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[paxXattr+k] = v
	}
	if m.nsec != 0 {
		h.Format = tar.FormatPAX
	}
	if err := tar.NewWriter(&b).WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestMemberIsGos: headers are byte by byte those of archive/tar.
func TestMemberIsGos(t *testing.T) {
	long := strings.Repeat("d/", 60) + "name"
	for _, m := range []member{
		{typ: '0', name: "f", mode: 0o644, size: 5, mtime: 1700000000},
		{typ: '0', name: "setuid", mode: 0o4755, uid: 1000, gid: 100},
		{typ: '0', name: "owner", uid: maxOctal8, gid: maxOctal8 + 1},
		{typ: '0', name: "large", size: maxOctal12},
		{typ: '0', name: "larger", size: maxOctal12 + 1},
		{typ: '0', name: "huge", size: 1 << 50},
		{typ: '5', name: "dir/", mode: 0o1777},
		{typ: '5', name: "./", mode: 0o755, nsec: 1},
		{typ: '2', name: "link", target: "../somewhere", mode: 0o777},
		{typ: '2', name: "link", target: strings.Repeat("t", 100)},
		{typ: '2', name: "link", target: strings.Repeat("t", 101)},
		{typ: '2', name: "link", target: "zł/" + strings.Repeat("t", 200)},
		{typ: '1', name: "a/hard", target: "a/f", mode: 0o600},
		{typ: '3', name: "null", major: 1, minor: 3},
		{typ: '4', name: "disk", major: maxMajor, minor: maxMinor},
		{typ: '6', name: "fifo"},
		{typ: '0', name: long},
		{typ: '5', name: long + "/"},
		{typ: '0', name: long, nsec: 5e8},
		{typ: '0', name: strings.Repeat("n", 100)},
		{typ: '0', name: strings.Repeat("n", 101)},
		{typ: '0', name: strings.Repeat("n", 155) + "/" + strings.Repeat("m", 100)},
		{typ: '0', name: strings.Repeat("n", 156) + "/" + strings.Repeat("m", 99)},
		{typ: '0', name: strings.Repeat("n", 155) + "/" + strings.Repeat("m", 101)},
		{typ: '5', name: strings.Repeat("n", 99) + "/"},
		{typ: '5', name: strings.Repeat("n", 100) + "/"},
		{typ: '5', name: strings.Repeat("n/", 127)},
		{typ: '0', name: strings.Repeat("4096/", 818) + "x"},
		{typ: '0', name: "Äpfel/日本"},
		{typ: '0', name: strings.Repeat("ä", 60)},
		{typ: '0', name: strings.Repeat("ä", 99) + "/" + strings.Repeat("x", 98) + "/yy"},
		{typ: '0', name: "old", mtime: -1},
		{typ: '0', name: "older", mtime: -2, nsec: 5e8},
		{typ: '0', name: "oldest", mtime: -1 << 40, nsec: 1},
		{typ: '0', name: "new", mtime: maxOctal12},
		{typ: '0', name: "newer", mtime: maxOctal12 + 1, nsec: 999999999},
		{typ: '0', name: "zero", nsec: 100},
		{typ: '0', name: "x", xattrs: map[string]string{"user.b": "1", "user.a": "bin\x00\n=", "security.capability": "\x01", "user.empty": "e"}},
		{typ: '0', name: "len", xattrs: map[string]string{"user.99": strings.Repeat("v", 74)}},
		{typ: '0', name: "len", xattrs: map[string]string{"user.99": strings.Repeat("v", 75)}},
		{typ: '0', name: "len", xattrs: map[string]string{"user.99": strings.Repeat("v", 76)}},
		{typ: '5', name: "x/", nsec: 7, uid: 1 << 31, gid: maxID, xattrs: map[string]string{"user.a": strings.Repeat("y", 60000)}},
	} {
		got, stored, err := m.append(nil)
		if err != nil || stored != m.size {
			t.Errorf("%q: %d, %v", m.name, stored, err)
		}
		if want := goTar(t, &m); !bytes.Equal(want, got) {
			diff(t, m.name, string(want), string(got))
		}
	}
}

// TestMemberGoCant: what archive/tar doesn't write is read again, by it too
// where it can.
func TestMemberGoCant(t *testing.T) {
	raw := "raw\xff\xfe/" + strings.Repeat("\xe4", 120)
	for _, c := range []struct {
		m    member
		data int64
		want entry
		goes bool
	}{
		{member{typ: '0', name: "\xff", mtime: 1}, 0, entry{name: "\xff", mtime: 1}, true},
		{member{typ: '2', name: raw, target: "\xfe"}, 0, entry{kind: kindSymlink, name: raw, target: "\xfe"}, true},
		{member{typ: '0', name: "f", xattrs: map[string]string{"user.a=b c": "v\x00", "user.%": "w"}}, 0,
			entry{name: "f", xattrs: []xattr{{"user.%", "w"}, {"user.a=b c", "v\x00"}}}, true},
		{member{typ: '0', name: "dir/sparse", size: 1 << 40, holes: true, sparse: []cow.Extent{{Off: 4096, Len: 4096}}}, 4096,
			entry{name: "dir/sparse", size: 1 << 40, holes: true, sparse: []run{{4096, 4096, 0}}}, true},
		{member{typ: '0', name: "ends", size: 8192 + 5, holes: true, sparse: []cow.Extent{{Off: 8192, Len: 5}}}, 5,
			entry{name: "ends", size: 8192 + 5, holes: true, sparse: []run{{8192, 5, 0}}}, true},
		{member{typ: '0', name: "void", size: 123456, holes: true}, 0, entry{name: "void", size: 123456, holes: true}, true},
		{member{typ: '0', name: raw, size: 1 << 20, nsec: 1, holes: true, sparse: []cow.Extent{{Off: 0, Len: 4096}, {Off: 1<<20 - 4096, Len: 4096}}}, 8192,
			entry{name: raw, size: 1 << 20, nsec: 1, holes: true, sparse: []run{{0, 4096, 0}, {1<<20 - 4096, 4096, 0}}}, true},
	} {
		b, _, err := c.m.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, make([]byte, c.data)...)
		for len(b)%blockSize != 0 {
			b = append(b, 0)
		}
		b = append(b, make([]byte, 2*blockSize)...)
		all, err := scanAll(b, 100)
		if err != nil || len(all) != 1 {
			t.Errorf("%q: %v, %v", c.m.name, all, err)
			continue
		}
		e := all[0]
		sortXattrs(e.xattrs)
		diff(t, c.m.name, entryString(c.want), entryString(e))
		r := tar.NewReader(bytes.NewReader(b))
		h, err := r.Next()
		if err != nil || h.Name != c.m.name || h.Size != c.m.size || h.Linkname != c.m.target {
			t.Errorf("%q: archive/tar reads %+v, %v", c.m.name, h, err)
		}
		if c.m.size < 1<<30 {
			if n, err := io.Copy(io.Discard, r); n != c.m.size || err != nil {
				t.Errorf("%q: archive/tar reads %d bytes, %v", c.m.name, n, err)
			}
		}
	}
}

// entryString is what an entry says, but for where it lies in its tar.
func entryString(e entry) string {
	s := fmt.Sprintf("%d %o %d:%d %d %d.%d %d,%d %q -> %q %t %q", e.kind, e.mode, e.uid, e.gid, e.size, e.mtime, e.nsec, e.major, e.minor, e.name, e.target, e.holes, e.xattrs)
	for _, r := range e.sparse {
		s += fmt.Sprintf(" [%d %d]", r.off, r.len)
	}
	return s
}

package layerpack

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scanAll are the entries of a tar, fed in pieces of n bytes.
func scanAll(b []byte, n int) ([]entry, error) {
	_, all, err := scanned(b, n)
	return all, err
}

func scanned(b []byte, n int) (*scanner, []entry, error) {
	var all []entry
	s := &scanner{emit: func(e *entry) error { all = append(all, *e); return nil }}
	for len(b) > 0 {
		k := min(n, len(b))
		if _, err := s.Write(b[:k]); err != nil {
			return s, all, err
		}
		b = b[k:]
	}
	return s, all, s.finish()
}

// TestTarFormats has GNU tar write a tree in all its formats, and compares
// what the index makes of the archive with what tar itself does.
func TestTarFormats(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT RUN: needs root, for owners and devices")
	}
	base, err := os.MkdirTemp("", "formats")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	src := filepath.Join(base, "src")
	plainTree(t, src)
	for _, c := range []struct {
		args                       string
		sparse, long, nsec, xattrs bool
	}{
		{"--format=v7 --exclude=./fifo --exclude=./disk --exclude=./null", false, false, false, false},
		{"--format=ustar", false, false, false, false},
		{"--format=oldgnu", false, true, false, false},
		{"--format=gnu", false, true, false, false},
		{"--format=gnu --sparse", true, true, false, false},
		{"--format=oldgnu --sparse", true, true, false, false},
		{"--format=posix --xattrs --xattrs-include=*", false, true, true, true},
		{"--format=posix --sparse --sparse-version=0.0", true, true, true, false},
		{"--format=posix --sparse --sparse-version=0.1", true, true, true, false},
		{"--format=posix --sparse --sparse-version=1.0", true, true, true, false},
		{"--format=posix --sparse --hole-detection=raw", true, true, true, false},
		{"--format=posix --pax-option=globexthdr.name=g,mtime:=1234567.5,uid=77", false, true, true, false},
	} {
		t.Run(c.args, func(t *testing.T) {
			dir, err := os.MkdirTemp(base, "case")
			if err != nil {
				t.Fatal(err)
			}
			tree := filepath.Join(dir, "src")
			if out, err := exec.Command("cp", "-a", "--sparse=always", src, tree).CombinedOutput(); err != nil {
				t.Fatalf("cp: %v %s", err, out)
			}
			long := filepath.Join(tree, strings.Repeat("long/", 60))
			if c.long {
				os.MkdirAll(long, 0o755)
				os.Symlink(strings.Repeat("t/", 300), filepath.Join(long, "link"))
				os.WriteFile(filepath.Join(long, "file"), []byte("x"), 0o644)
				os.Link(filepath.Join(long, "file"), filepath.Join(tree, "linked"))
				os.Chown(filepath.Join(tree, "linked"), 3000000, 4000000000) // more than octal digits hold
			}
			if c.nsec {
				old := []unix.Timespec{{Sec: -86400*365 - 1, Nsec: 123456789}, {Sec: -86400*365 - 1, Nsec: 123456789}}
				unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(tree, "file"), old, 0)
			}
			if c.xattrs {
				unix.Lsetxattr(filepath.Join(tree, "file"), "user.some", []byte("va\x00lue=\n1"), 0)
				unix.Lsetxattr(filepath.Join(tree, "file"), "user.empty", nil, 0)
				unix.Lsetxattr(filepath.Join(tree, "setuid"), "security.capability", []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0)
			}
			archive, back := filepath.Join(dir, "a.tar"), filepath.Join(dir, "back")
			os.Mkdir(back, 0o755)
			cmd := exec.Command("tar", append(strings.Fields(c.args), "--numeric-owner", "-cf", archive, "-C", tree, ".")...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("tar: %v %s", err, out)
			}
			if out, err := exec.Command("tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf", archive, "-C", back).CombinedOutput(); err != nil {
				t.Fatalf("tar: %v %s", err, out)
			}
			b, err := os.ReadFile(archive)
			if err != nil {
				t.Fatal(err)
			}
			layers := packChain(t, b)
			x, index := buildOpen(t, layers)
			want, got := hostView(t, back), indexView(t, x, layers)
			diff(t, "the index against tar's tree", without(want, dropDirLinks), without(got, dropDirLinks))
			diff(t, "the kernel's erofs against the index", without(got, dropLayer), hostView(t, mountEROFS(t, index, layers)))
			if c.sparse {
				e, _ := x.Lookup(x.Root(), []byte("sparse"))
				es, err := x.Extents(e.NID, 0, 1<<40, nil)
				if err != nil || len(es) < 4 || es[0].Layer != -1 {
					t.Errorf("the sparse file has the extents %+v, %v", es, err)
				}
			}
			whole, err1 := scanAll(b, len(b))
			pieces, err2 := scanAll(b, 511)
			if err1 != nil || err2 != nil || fmt.Sprint(whole) != fmt.Sprint(pieces) {
				t.Errorf("in one piece and in many: %v, %v", err1, err2)
			}
			toc := filepath.Join(dir, "toc")
			if err := Scan(t.Context(), archive, toc); err != nil {
				t.Fatal(err)
			}
			again, _ := os.ReadFile(toc)
			if first, _ := os.ReadFile(layers[0].TOC()); !bytes.Equal(first, again) {
				t.Error("Scan and Pack differ")
			}
		})
	}
}

func plainTree(t testing.TB, src string) {
	t.Helper()
	for _, d := range []string{"", "dir", "dir/sub"} {
		if err := os.Mkdir(filepath.Join(src, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put := func(name, data string, mode uint32, uid int) {
		p := filepath.Join(src, name)
		if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		os.Chown(p, uid, uid+1)
		unix.Chmod(p, mode)
	}
	put("file", "data", 0o640, 1000)
	put("setuid", "x", 0o4755, 0)
	put("dir/empty", "", 0, 5)
	put("dir/\xe4\xff non-utf8 \n", "y", 0o644, 0)
	put("dir/block", strings.Repeat("b", 512), 0o644, 0)
	os.Symlink("../nowhere", filepath.Join(src, "dir/link"))
	os.Link(filepath.Join(src, "file"), filepath.Join(src, "dir/sub/hard"))
	unix.Mknod(filepath.Join(src, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
	unix.Mknod(filepath.Join(src, "disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(8, 17)))
	unix.Mkfifo(filepath.Join(src, "fifo"), 0o600)
	unix.Chmod(filepath.Join(src, "dir/sub"), 0o1777)
	f, err := os.Create(filepath.Join(src, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		f.WriteAt(bytes.Repeat([]byte{byte(i + 1)}, 4096), int64(i*3+1)*65536)
	}
	f.Truncate(40 * 65536)
	f.Close()
	os.Chtimes(filepath.Join(src, "file"), when, when)
}

// patched is a tar of one entry, changed by fn, with its checksum made right.
func patched(t testing.TB, h tar.Header, fn func(b []byte)) []byte {
	b := tarOf(t, h)
	fn(b)
	resum(b)
	return b
}

func resum(b []byte) {
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

func pax(records map[string]string) tar.Header {
	h := file("f", "data")
	h.PAXRecords = records
	return h
}

// paxTar is one file behind an extended header with these records, as they are.
func paxTar(t testing.TB, typ byte, records ...string) []byte {
	var body bytes.Buffer
	for _, r := range records {
		n := len(r) + 3
		for len(fmt.Sprintf("%d %s\n", n, r)) != n {
			n++
		}
		fmt.Fprintf(&body, "%d %s\n", n, r)
	}
	h := tarOf(t, file("PaxHeaders/f", body.String()))
	h[156] = typ
	resum(h)
	h = h[:512+(body.Len()+511)&^511]
	return append(h, tarOf(t, file("f", "data"))...)
}

func TestHeaderValues(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString([]byte("raw\x00value"))
	for _, c := range []struct {
		name string
		tar  []byte
		want func(e *entry) any
		is   any
	}{
		{"raw non-UTF-8 path", paxTar(t, 'x', "path=\xff\xfe"), func(e *entry) any { return e.name }, "\xff\xfe"},
		{"libarchive's attributes", paxTar(t, 'x', "LIBARCHIVE.xattr.user.a%20b="+b64), func(e *entry) any { return e.xattrs[0].name + "=" + e.xattrs[0].value }, "user.a b=raw\x00value"},
		{"unpadded base64", paxTar(t, 'x', "LIBARCHIVE.xattr.user.x="+strings.TrimRight(b64, "=")), func(e *entry) any { return e.xattrs[0].value }, "raw\x00value"},
		{"both kinds of attributes", paxTar(t, 'x', "LIBARCHIVE.xattr.user.x="+b64, "SCHILY.xattr.user.x=star"), func(e *entry) any { return fmt.Sprint(e.xattrs) }, "[{user.x star}]"},
		{"time before the epoch", paxTar(t, 'x', "mtime=-1.5"), func(e *entry) any { return [2]int64{e.mtime, int64(e.nsec)} }, [2]int64{-2, 5e8}},
		{"time just before", paxTar(t, 'x', "mtime=-0.0000000001"), func(e *entry) any { return [2]int64{e.mtime, int64(e.nsec)} }, [2]int64{-1, 999999999}},
		{"global", paxTar(t, 'g', "uid=5", "mtime=9"), func(e *entry) any { return [2]int64{int64(e.uid), e.mtime} }, [2]int64{5, 9}},
		{"global, taken back", append(paxTar(t, 'g', "uid=5")[:1024], paxTar(t, 'x', "uid=")...), func(e *entry) any { return e.uid }, uint32(0)},
		{"global, overridden", append(paxTar(t, 'g', "uid=5")[:1024], paxTar(t, 'x', "uid=6")...), func(e *entry) any { return e.uid }, uint32(6)},
		{"base 256 time", patched(t, file("f", ""), func(b []byte) { copy(b[136:148], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe") }), func(e *entry) any { return e.mtime }, int64(-2)},
		{"base 256 owner", patched(t, file("f", ""), func(b []byte) { copy(b[108:116], "\x80\x00\x00\x00\xff\xff\xff\xfe") }), func(e *entry) any { return e.uid }, uint32(maxID)},
		{"blanks", patched(t, file("f", ""), func(b []byte) { copy(b[100:108], "  644 \x00\x00") }), func(e *entry) any { return e.mode }, uint32(0o644)},
		{"type in the mode", patched(t, file("f", ""), func(b []byte) { copy(b[100:108], "0104755\x00") }), func(e *entry) any { return e.mode }, uint32(0o4755)},
		{"old directory", patched(t, file("f", ""), func(b []byte) { copy(b, "f/"); b[156] = 0 }), func(e *entry) any { return e.kind }, kindDir},
		{"contiguous file", patched(t, file("f", "x"), func(b []byte) { b[156] = '7' }), func(e *entry) any { return e.kind }, kindFile},
		{"link with a size", patched(t, link("f", "t"), func(b []byte) { copy(b[124:136], "00000001000\x00") }), func(e *entry) any { return e.target }, "t"},
		{"prefix", tarOf(t, file(strings.Repeat("p/", 60)+"f", "")), func(e *entry) any { return e.name }, strings.Repeat("p/", 60) + "f"},
		{"prefix in old GNU archives of Go", patched(t, file("f", ""), func(b []byte) { copy(b[257:265], "ustar  \x00"); copy(b[345:], "some/dir") }), func(e *entry) any { return e.name }, "some/dir/f"},
		{"a map of base 256", func() []byte {
			b := gnuSparseTar(t, "f", 0, []int64{0, 0}, []string{"", "data"})
			for at, v := range map[int]string{410: "\x80\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x05", 483: "\x80\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x09"} {
				copy(b[at:], v)
			}
			resum(b)
			return b
		}(), func(e *entry) any { return [4]int64{e.sparse[0].off, e.sparse[0].len, e.sparse[0].tar, e.size} }, [4]int64{3<<32 + 5, 4, 512, 3<<32 + 9}},
		{"size beyond octal digits in an extended header", paxTar(t, 'x', "size=4"), func(e *entry) any { return e.size }, int64(4)},
		{"signed checksum", func() []byte {
			b := patched(t, file("f", ""), func(b []byte) { b[0] = 0xe4 })
			sum := 0
			for i, c := range b[:512] {
				if i >= 148 && i < 156 {
					c = ' '
				}
				sum += int(int8(c))
			}
			copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
			return b
		}(), func(e *entry) any { return e.name }, "\xe4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, err := scanAll(c.tar, len(c.tar))
			if err != nil || len(all) != 1 {
				t.Fatalf("%v, %v", all, err)
			}
			diff(t, "value", c.is, c.want(&all[0]))
		})
	}
}

// A tar may end with its last byte of data: umoci insert writes such layers.
func TestPackWithoutTrailer(t *testing.T) {
	good := tarOf(t, file("f", strings.Repeat("x", 1000)))
	for _, n := range []int{1512, 1520, 1536, 2048} {
		p, err := Pack(t.Context(), bytes.NewReader(good[:n]), t.TempDir(), PackOptions{})
		if err != nil || p.Entries != 1 || p.TarSize != int64(n) {
			t.Errorf("Pack of the first %d bytes = %+v, %v", n, p, err)
		}
	}
}

func TestScanRefuses(t *testing.T) {
	good := tarOf(t, file("f", strings.Repeat("x", 1000)))
	for _, c := range []struct {
		name string
		tar  []byte
		why  string
	}{
		{"truncated header", good[:100], "truncated"},
		{"truncated data", good[:900], "truncated"},
		{"last byte of data missing", good[:1511], "truncated"},
		{"no header", append(bytes.Repeat([]byte("x"), 512), good...), "checksum"},
		{"flipped bit", patchedRaw(good, func(b []byte) { b[3] ^= 1 }), "checksum"},
		{"lone zero block", append(make([]byte, 512), good...), "lone zero block"},
		{"ends after an extended header", paxTar(t, 'x', "uid=5")[:1024], "after an extended header"},
		{"negative size", patched(t, file("f", ""), func(b []byte) { copy(b[124:136], bytes.Repeat([]byte{0xff}, 12)) }), "size of -1"},
		{"huge size", patched(t, file("f", ""), func(b []byte) { copy(b[124:136], "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff") }), "size"},
		{"size as text", patched(t, file("f", ""), func(b []byte) { copy(b[124:136], "12345678abc\x00") }), "not octal"},
		{"negative owner", patched(t, file("f", ""), func(b []byte) { copy(b[108:116], bytes.Repeat([]byte{0xff}, 8)) }), "uid"},
		{"owner of no one", paxTar(t, 'x', "gid=4294967295"), "gid"},
		{"impossible device", patched(t, node0("n", tar.TypeChar, 1, 1), func(b []byte) { copy(b[329:337], "0010000\x00") }), "can't exist"},
		{"unknown type", patched(t, file("f", ""), func(b []byte) { b[156] = 'M' }), "type 'M'"},
		{"huge extended header", patched(t, file("f", ""), func(b []byte) { b[156] = 'x'; copy(b[124:136], "77777777777\x00") }), "extended header of"},
		{"global headers without end", paxTar(t, 'g', "a="+strings.Repeat("x", maxGlobals)), "global extended headers"},
		{"extended headers without end", bytes.Repeat(paxTar(t, 'x', "a=b")[:1024], 10000), "without end"},
		{"too many attributes", paxTar(t, 'x', manyXattrs(maxXattrs+1)...), "more than 1024 extended attributes"},
		{"record without length", paxBody(t, "path=x\n"), "without length"},
		{"record too long", paxBody(t, "99 path=x\n"), "wrong length"},
		{"record too short", paxBody(t, "3 p=x\n"), "wrong length"},
		{"record without key", paxBody(t, "6 =xx\n"), "without key"},
		{"NUL in a path", paxTar(t, 'x', "path=a\x00b"), "NUL"},
		{"NUL in a target", paxTar(t, 'x', "linkpath=a\x00b"), "NUL"},
		{"time as text", paxTar(t, 'x', "mtime=now"), "not a number"},
		{"bad base64", paxTar(t, 'x', "LIBARCHIVE.xattr.user.x=???"), "base64"},
		{"attribute without name", paxTar(t, 'x', "SCHILY.xattr.=v"), "attribute"},
		{"symlink to nothing", patched(t, link("l", "x"), func(b []byte) { b[157] = 0 }), "target of 0 bytes"},
		{"sparse data beyond", paxTar(t, 'x', "GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.size=3", "GNU.sparse.map=0,4"), "beyond the file"},
		{"sparse data backwards", paxTar(t, 'x', "GNU.sparse.size=5000", "GNU.sparse.map=512,2,0,2"), "out of order"},
		{"sparse data left over", paxTar(t, 'x', "GNU.sparse.size=5000", "GNU.sparse.map=0,0"), "left over|leaves 4 bytes"},
		{"sparse map odd", paxTar(t, 'x', "GNU.sparse.size=5000", "GNU.sparse.map=0,0,1"), "map of 3"},
		{"sparse version", paxTar(t, 'x', "GNU.sparse.major=2", "GNU.sparse.minor=0"), "2.0 is not supported"},
		{"sparse without size", paxTar(t, 'x', "GNU.sparse.map=0,4"), "without size"},
		{"sparse map in no data", paxTar(t, 'x', "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=4", "size=0"), "longer than the data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{1 << 20, 7} {
				_, err := scanAll(c.tar, n)
				ok := false
				for _, why := range strings.Split(c.why, "|") {
					ok = ok || err != nil && strings.Contains(err.Error(), why)
				}
				if !errors.Is(err, ErrInvalid) || !ok {
					t.Fatalf("got %v, want a refusal that says %q", err, c.why)
				}
			}
		})
	}
}

func manyXattrs(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("SCHILY.xattr.user.%d=x", i))
	}
	return all
}

func patchedRaw(b []byte, fn func([]byte)) []byte {
	b = bytes.Clone(b)
	fn(b)
	return b
}

// paxBody is one file behind an extended header with this text.
func paxBody(t testing.TB, body string) []byte {
	h := tarOf(t, file("PaxHeaders/f", body))
	h[156] = 'x'
	resum(h)
	return append(h[:1024], tarOf(t, file("f", "data"))...)
}

func TestTarEnds(t *testing.T) {
	whole := tarOf(t, file("f", "data"))
	for name, b := range map[string][]byte{
		"without end":     whole[:1024],
		"one zero block":  whole[:1536],
		"trailing data":   append(bytes.Clone(whole), "anything goes"...),
		"padded to 10240": append(bytes.Clone(whole), make([]byte, 10240-len(whole))...),
	} {
		if all, err := scanAll(b, 100); err != nil || len(all) != 1 {
			t.Errorf("%s: %v, %v", name, all, err)
		}
	}
	if all, err := scanAll(nil, 1); err != nil || len(all) != 0 {
		t.Errorf("nothing: %v, %v", all, err)
	}
}

func TestTimes(t *testing.T) {
	for s, want := range map[string]time.Time{
		"0": time.Unix(0, 0), "1.5": time.Unix(1, 5e8), "-1": time.Unix(-1, 0), "-1.25": time.Unix(-2, 75e7),
		"1.0000000019": time.Unix(1, 1), "-0.5": time.Unix(-1, 5e8), "-1.000000000": time.Unix(-1, 0), "7.": time.Unix(7, 0),
	} {
		sec, nsec, err := parseTime(s)
		if err != nil || !time.Unix(sec, int64(nsec)).Equal(want) {
			t.Errorf("%s: %d.%09d, %v", s, sec, nsec, err)
		}
	}
	for _, s := range []string{"", ".5", "1.x", "1e5", "--1", "-9223372036854775808.5", "99999999999999999999"} {
		if sec, nsec, err := parseTime(s); err == nil {
			t.Errorf("%q is %d.%d", s, sec, nsec)
		}
	}
}

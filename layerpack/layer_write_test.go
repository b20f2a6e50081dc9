package layerpack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// memory is a file's content, with holes where it is told.
type memory struct {
	*bytes.Reader
	extents []cow.Extent
	closed  *int
}

func (m memory) Extents() ([]cow.Extent, error) { return m.extents, nil }
func (m memory) Close() error                   { *m.closed++; return nil }

// change is an entry of a kind, "A", "C" or "D", with a mode.
func change(kind byte, path string, mode uint32) cow.Entry {
	e := cow.Entry{Change: cow.Change{Path: path, Kind: cow.Kind(kind)}}
	if kind != 'D' {
		e.Attr = cow.Attr{Mode: mode, Mtime: when.Unix()}
	}
	if kind != 'A' {
		e.Before = cow.Attr{Mode: mode, Mtime: 1000}
	}
	return e
}

// with is e with content.
func with(e cow.Entry, data string, extents ...cow.Extent) cow.Entry {
	if extents == nil {
		extents = []cow.Extent{{Off: 0, Len: int64(len(data))}}
	}
	closed := 0
	e.Attr.Size = int64(len(data))
	e.Open = func() (cow.Data, error) { return memory{bytes.NewReader([]byte(data)), extents, &closed}, nil }
	return e
}

func seq(es ...cow.Entry) iter.Seq2[cow.Entry, error] {
	return func(yield func(cow.Entry, error) bool) {
		for _, e := range es {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func write(t testing.TB, o WriteOptions, es ...cow.Entry) ([]byte, Written) {
	t.Helper()
	var b bytes.Buffer
	w, err := WriteLayer(context.Background(), &b, seq(es...), o)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w
}

// members are the entries of a tar, one a line: type, mode, owner, size, time,
// name, and what belongs to the type.
func members(t testing.TB, b []byte) []string {
	t.Helper()
	all, err := scanAll(b, len(b))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		s := fmt.Sprintf("%d %o %d:%d %d %d.%d %q", e.kind, e.mode, e.uid, e.gid, e.size, e.mtime, e.nsec, e.name)
		if e.target != "" {
			s += " -> " + e.target
		}
		if e.major+e.minor > 0 {
			s += fmt.Sprintf(" %d,%d", e.major, e.minor)
		}
		for _, x := range e.xattrs {
			s += " " + x.name + "=" + x.value
		}
		for _, r := range e.sparse {
			s += fmt.Sprintf(" [%d %d]", r.off, r.len)
		}
		out = append(out, s)
	}
	return out
}

func TestWriteLayer(t *testing.T) {
	const reg, dirMode = unix.S_IFREG | 0o644, unix.S_IFDIR | 0o755
	socket := change('A', "/sock", unix.S_IFSOCK|0o755)
	device := change('A', "/dev/sda", unix.S_IFBLK|0o660)
	device.Attr.Rdev = unix.Mkdev(8, 1<<20-1)
	symlink := change('A', "/l", unix.S_IFLNK|0o755)
	symlink.Target, symlink.Attr.Size = "nowhere", 7
	owned := with(change('C', "/etc/owned", unix.S_IFREG|0o4755), "x")
	owned.Attr.UID, owned.Attr.GID, owned.Xattrs = 1<<31, 5, map[string]string{"user.b": "2", "user.a": "1"}
	one, two := with(change('A', "/one", reg), "data"), change('A', "/two", reg)
	one.Inode, two.Inode, two.Attr.Size = 3, 3, 4
	two.Open = func() (cow.Data, error) { return nil, errors.New("opened twice") }
	late := change('A', "/late", reg)
	late.Attr.Mtime, late.Attr.MtimeNsec = when.Unix(), 2
	replaced := change('C', "/r", dirMode)
	replaced.Before.Mode = reg
	for _, c := range []struct {
		name    string
		o       WriteOptions
		entries []cow.Entry
		want    []string
		notes   string
	}{
		{"nothing", WriteOptions{}, nil, nil, ""},
		{"a file in a directory", WriteOptions{}, []cow.Entry{change('C', "/etc", dirMode), with(change('A', "/etc/f", reg), "data")},
			[]string{`5 755 0:0 0 1000.0 "etc/"`, `0 644 0:0 4 1700000000.0 "etc/f"`}, ""},
		{"directories with their times", WriteOptions{DirTimes: true}, []cow.Entry{change('C', "/etc", dirMode), change('A', "/etc/d", dirMode)},
			[]string{`5 755 0:0 0 1700000000.0 "etc/"`, `5 755 0:0 0 1700000000.0 "etc/d/"`}, ""},
		{"a directory where a file was", WriteOptions{}, []cow.Entry{replaced}, []string{`5 755 0:0 0 1700000000.0 "r/"`}, ""},
		{"the root", WriteOptions{}, []cow.Entry{change('A', "/", dirMode)}, []string{`5 755 0:0 0 1700000000.0 "./"`}, ""},
		{"whiteouts", WriteOptions{}, []cow.Entry{change('D', "/f", reg), change('D', "/d/\xff", reg)},
			[]string{`0 0 0:0 0 0.0 ".wh.f"`, `0 0 0:0 0 0.0 "d/.wh.\xff"`}, ""},
		{"other types", WriteOptions{}, []cow.Entry{device, change('A', "/fifo", unix.S_IFIFO|0o600), symlink},
			[]string{`4 660 0:0 0 1700000000.0 "dev/sda" 8,1048575`, `6 600 0:0 0 1700000000.0 "fifo"`, `2 777 0:0 0 1700000000.0 "l" -> nowhere`}, ""},
		{"a new socket", WriteOptions{}, []cow.Entry{socket}, nil, "/sock: a socket: left out\n"},
		{"a socket where a file was", WriteOptions{}, []cow.Entry{change('C', "/sock", unix.S_IFSOCK|0o755)},
			[]string{`0 0 0:0 0 0.0 ".wh.sock"`}, "/sock: a socket: left out\n"},
		{"names that are whiteouts", WriteOptions{}, []cow.Entry{with(change('A', "/.wh.f", reg), "x"), change('A', "/a/.wh..wh..opq", dirMode), change('A', "/a/.wh..wh..opq/x", reg)},
			nil, "/.wh.f: its name means a deletion in a layer: left out\n/a/.wh..wh..opq: its name means a deletion in a layer: left out\n" +
				"/a/.wh..wh..opq/x: its name means a deletion in a layer: left out\n"},
		{"attributes", WriteOptions{}, []cow.Entry{owned}, []string{`0 4755 2147483648:5 1 1700000000.0 "etc/owned" user.a=1 user.b=2`}, ""},
		{"hard links", WriteOptions{}, []cow.Entry{one, two}, []string{`0 644 0:0 4 1700000000.0 "one"`, `1 644 0:0 0 1700000000.0 "two" -> one`}, ""},
		{"times are clamped", WriteOptions{Epoch: new(time.Unix(when.Unix(), 1))}, []cow.Entry{late, change('A', "/now", reg)},
			[]string{`0 644 0:0 0 1700000000.1 "late"`, `0 644 0:0 0 1700000000.0 "now"`}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			notes := ""
			c.o.Note = func(path, what string) { notes += path + ": " + what + "\n" }
			b, w := write(t, c.o, c.entries...)
			diff(t, "members", c.want, members(t, b))
			diff(t, "notes", c.notes, notes)
			diff(t, "written", Written{Blob: digest.FromBytes(b), DiffID: digest.FromBytes(b), BlobSize: int64(len(b)), TarSize: int64(len(b)), Entries: len(c.want)}, w)
		})
	}
}

// TestWriteHoles: holes are where zeros are, in whole units, whatever the
// filesystem calls one; but a file without any that counts keeps its zeros.
func TestWriteHoles(t *testing.T) {
	hole, zero, data := strings.Repeat("\x00", widest), strings.Repeat("\x00", holeUnit), strings.Repeat("d", holeUnit)
	for _, c := range []struct {
		name, data string
		extents    []cow.Extent
		want       string
	}{
		{"none", hole + data, []cow.Extent{{Off: 0, Len: widest + 4096}}, ""},
		{"one", hole + data, []cow.Extent{{Off: widest, Len: 4096}}, " [131072 4096]"},
		{"at the end", data + zero + hole + hole, []cow.Extent{{Off: 0, Len: 4096}}, " [0 4096]"},
		{"nothing else", hole, []cow.Extent{}, ""},
		{"too short for one", hole[1:], []cow.Extent{}, ""},
		{"between those that count", data + hole + hole[:widest-8192] + data, []cow.Extent{{Off: 0, Len: 4096}, {Off: 2*widest - 4096, Len: 4096}}, ""},
		{"as records of ZFS", hole + data + zero + data + hole[12288:] + hole, []cow.Extent{{Off: widest, Len: widest}}, " [131072 4096] [139264 4096]"},
		{"within units", data + zero + data + hole + hole, []cow.Extent{{Off: 512, Len: 4096}, {Off: 10000, Len: 100}}, " [0 4096] [8192 4096]"},
		{"zeros that were written", hole + zero + data + zero, []cow.Extent{{Off: widest, Len: 12288}}, " [135168 4096]"},
		{"a short end", hole + data + "e", []cow.Extent{{Off: widest, Len: 4097}}, " [131072 4097]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, w := write(t, WriteOptions{}, with(change('A', "/f", unix.S_IFREG), c.data, c.extents...))
			if full := w.TarSize > int64(len(c.data)); full == (c.want != "" || c.name == "nothing else") {
				t.Errorf("%d bytes are written of a file of %d", w.TarSize, len(c.data))
			}
			want := fmt.Sprintf(`0 0 0:0 %d 1700000000.0 "f"`, len(c.data)) + c.want
			diff(t, "members", []string{want}, members(t, b))
			layers := packChain(t, b)
			x, _ := buildOpen(t, layers)
			d := must(os.MkdirTemp(t.TempDir(), "x"))
			if _, err := Extract(context.Background(), layers[0], d, ExtractOptions{Rootless: true}); err != nil {
				t.Fatal(err)
			}
			if got := must(os.ReadFile(d + "/f")); string(got) != c.data {
				t.Error("it has another content")
			}
			if a := indexView(t, x, layers)["f"]; a.Size != int64(len(c.data)) {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestFewerRuns(t *testing.T) {
	var runs []cow.Extent
	for i := range int64(maxRuns + 10) {
		runs = append(runs, cow.Extent{Off: i * 3 * holeUnit, Len: holeUnit})
	}
	runs[5].Off -= holeUnit // a hole of one unit, which goes first
	size := runs[len(runs)-1].Off + holeUnit
	got := fewer(slices.Clone(runs))
	if len(got) >= maxRuns {
		t.Errorf("%d runs are left", len(got))
	}
	if end := got[len(got)-1]; end.Off+end.Len != size || got[0].Off != 0 {
		t.Errorf("they reach from %d to %d", got[0].Off, end.Off+end.Len)
	}
	few := fewer(slices.Clone(runs[:10]))
	diff(t, "few", runs[:10], few)
}

// TestWriteLayerFails: what goes wrong on the way is told, and everything that
// was opened is closed.
func TestWriteLayerFails(t *testing.T) {
	failing := errors.New("failing")
	big := strings.Repeat("x", 3*sinkChunk*sinkChunks)
	short := with(change('A', "/short", unix.S_IFREG), "data")
	short.Attr.Size = 5
	unopened := with(change('A', "/unopened", unix.S_IFREG), "data")
	unopened.Open = func() (cow.Data, error) { return nil, failing }
	huge := change('A', "/huge", unix.S_IFREG)
	huge.Xattrs = map[string]string{}
	for i := range 20 {
		huge.Xattrs[fmt.Sprint("user.", i)] = strings.Repeat("x", 60000)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		w    io.Writer
		in   iter.Seq2[cow.Entry, error]
		want error
		text string
	}{
		{"the sequence", context.Background(), io.Discard, func(yield func(cow.Entry, error) bool) { yield(cow.Entry{}, failing) }, failing, ""},
		{"a file that became shorter", context.Background(), io.Discard, seq(short), io.ErrUnexpectedEOF, "/short"},
		{"a file that can't be opened", context.Background(), io.Discard, seq(unopened), failing, "/unopened"},
		{"a header that nobody could read", context.Background(), io.Discard, seq(huge), nil, "/huge: an extended header of"},
		{"a name that can't be removed", context.Background(), io.Discard, seq(change('D', "/..", 0)), nil, "invalid whiteout"},
		{"the context", ctx, io.Discard, seq(change('A', "/f", unix.S_IFREG)), context.Canceled, ""},
		{"the writer", context.Background(), brokenWriter{}, seq(with(change('A', "/f", unix.S_IFREG), big)), errBroken, ""},
		{"the writer, at the end", context.Background(), brokenWriter{}, seq(), errBroken, ""},
		{"a short write", context.Background(), shortWriter{}, seq(), io.ErrShortWrite, ""},
	} {
		for _, z := range []Compression{Plain, Gzip, Zstd} {
			_, err := WriteLayer(c.ctx, c.w, c.in, WriteOptions{Compression: z})
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s, %s: %v", c.name, z, err)
			}
		}
	}
}

type shortWriter struct{}

func (shortWriter) Write(b []byte) (int, error) { return len(b) / 2, nil }

// TestWriteIsReadByTar: GNU tar makes of a layer what it says.
func TestWriteIsReadByTar(t *testing.T) {
	needRoot(t)
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("SKIPPED: needs GNU tar")
	}
	long := strings.Repeat("long/", 30)
	sparse := make([]byte, 5<<20)
	copy(sparse[1<<20:], "data in the middle")
	old := with(change('A', "/old", unix.S_IFREG|0o4711), "old")
	old.Attr.Mtime, old.Attr.MtimeNsec, old.Attr.UID, old.Attr.GID = -86400, 5, 3000000, 4000000000
	old.Xattrs = map[string]string{"user.x": "a\x00b"}
	es := []cow.Entry{change('A', "/ä", unix.S_IFDIR|0o700), with(change('A', "/ä/\xff\xfe", unix.S_IFREG|0o600), "raw")}
	for i := range 30 {
		es = append(es, change('A', "/"+strings.TrimSuffix(long[:5*(i+1)], "/"), unix.S_IFDIR|0o755))
	}
	deep := with(change('A', "/"+long+"\xffdeep", unix.S_IFREG|0o600), "deep")
	deep.Attr.Mtime = 1<<33 + 5
	es = append(es, deep, old,
		with(change('A', "/sparse", unix.S_IFREG|0o600), string(sparse), cow.Extent{Off: 1 << 20, Len: 4096}),
		with(change('A', "/void", unix.S_IFREG|0o600), string(sparse[:100000]), []cow.Extent{}...))
	es[len(es)-1].Open = func() (cow.Data, error) {
		return memory{bytes.NewReader(sparse[:100000]), []cow.Extent{}, new(int)}, nil
	}
	b, _ := write(t, WriteOptions{}, es...)
	dir := t.TempDir()
	cmd := exec.Command("tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf", "-", "-C", dir)
	cmd.Stdin = bytes.NewReader(b)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	layers := packChain(t, b)
	x, _ := buildOpen(t, layers)
	want := without(indexView(t, x, layers), dropLayer)
	got := hostView(t, dir)
	delete(want, "")
	delete(got, "")
	diff(t, "tar's tree against the index", without(want, dropDirLinks), without(got, dropDirLinks))
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(dir, "sparse"), &st); err != nil || st.Blocks > 100 {
		t.Errorf("the sparse file has %d blocks, %v", st.Blocks, err)
	}
}

// TestWhiteoutOfALongName: what is gone may have had the longest name there is;
// its whiteout's is longer.
func TestWhiteoutOfALongName(t *testing.T) {
	name := strings.Repeat("n", maxName)
	b, _ := write(t, WriteOptions{}, change('D', "/d/"+name, unix.S_IFREG))
	layers := packChain(t, tarOf(t, file("d/"+name, ""), file("d/f", "")), b)
	x, _ := buildOpen(t, layers)
	if _, ok := indexView(t, x, layers)["d/"+name]; ok {
		t.Error("it is still there")
	}
}

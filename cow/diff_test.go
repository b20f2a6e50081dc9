package cow

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// entriesOf are the entries of a diff, one a line: kind, path, type and what
// there is of inode, target, attributes and content.
func entriesOf(t testing.TB, seq func(func(Entry, error) bool)) ([]string, error) {
	t.Helper()
	var out []string
	for e, err := range seq {
		if err != nil {
			return out, err
		}
		s := e.Kind.String() + " " + e.Path
		if e.Inode != 0 {
			s += fmt.Sprintf(" #%d", e.Inode)
		}
		if e.Target != "" {
			s += " -> " + e.Target
		}
		for _, k := range slices.Sorted(maps.Keys(e.Xattrs)) {
			s += " " + k + "=" + e.Xattrs[k]
		}
		if e.Open != nil {
			b, err := contentOf(e)
			if err != nil {
				return out, err
			}
			s += " " + b
		}
		out = append(out, s)
	}
	return out, nil
}

// contentOf reads a file in odd pieces, and checks that its extents hold all that is not zero.
func contentOf(e Entry) (string, error) {
	d, err := e.Open()
	if err != nil {
		return "", err
	}
	defer d.Close()
	all, err := io.ReadAll(io.NewSectionReader(d, 0, e.Attr.Size))
	if err != nil || int64(len(all)) != e.Attr.Size {
		return "", fmt.Errorf("%d bytes of %d: %w", len(all), e.Attr.Size, err)
	}
	for _, n := range []int64{1, 3000, 4097} {
		for off := int64(0); off < e.Attr.Size; off += n + e.Attr.Size/7 {
			b := make([]byte, min(n, e.Attr.Size-off))
			if _, err := d.ReadAt(b, off); err != nil && err != io.EOF || !bytes.Equal(b, all[off:off+int64(len(b))]) {
				return "", fmt.Errorf("%d bytes at %d differ: %w", len(b), off, err)
			}
		}
	}
	es, err := d.Extents()
	if err != nil {
		return "", err
	}
	holes, end := bytes.Clone(all), int64(0)
	for i, x := range es {
		if x.Len <= 0 || x.Off < end || i > 0 && x.Off == end || x.end() > e.Attr.Size {
			return "", fmt.Errorf("bad extents: %v of %d", es, e.Attr.Size)
		}
		end = x.end()
		clear(holes[x.Off:end])
	}
	if len(bytes.Trim(holes, "\x00")) > 0 {
		return "", fmt.Errorf("there is data outside of the extents %v", es)
	}
	return short(all, es), nil
}

// short is content with its runs of equal bytes counted, and the extents unless
// there is but one.
func short(b []byte, es []Extent) string {
	var s strings.Builder
	for i := 0; i < len(b); {
		n := 1
		for i+n < len(b) && b[i+n] == b[i] {
			n++
		}
		c := string(b[i])
		if b[i] == 0 {
			c = "."
		}
		if n > 3 {
			fmt.Fprintf(&s, "%s*%d", c, n)
		} else {
			s.WriteString(strings.Repeat(c, n))
		}
		i += n
	}
	if len(es) != 1 || es[0].Len != int64(len(b)) {
		fmt.Fprintf(&s, " %v", es)
	}
	return s.String()
}

// holes writes runs of bytes, "OFF:BYTE*LEN", into a file of so many bytes.
func holes(p string, f []string) error {
	var size int64
	fmt.Sscan(f[0], &size)
	h, err := os.OpenFile(p, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer h.Close()
	for _, run := range f[1:] {
		var off, n int64
		var b rune
		if _, err := fmt.Sscanf(run, "%d:%c*%d", &off, &b, &n); err != nil && run != "" {
			return fmt.Errorf("%q: %w", run, err)
		}
		if _, err := h.WriteAt(bytes.Repeat([]byte(string(b)), int(n)), off); err != nil {
			return err
		}
	}
	return h.Truncate(size)
}

const diffBase = `
	h /big 20000 0:b*20000
	h /thin 40960 8192:t*4096
	d /d
	f /d/f one
	n /d/g d/f
	n /h d/f
	f /d/x exx
	x /d/x user.a=b
	l /d/l f
	d /e
	h /e/big 8192 0:e*8192
`

func TestDiff(t *testing.T) {
	base := makeTree(t, diffBase)
	for _, tc := range []struct {
		what, upper string
		want        []string
	}{
		{"a new tree", "d /n\nf /n/f data\nl /n/l to\np /n/p\nx /n/f user.k=v\nx /n user.overlay.impure=y\nx /n/f user.overlay.origin=o",
			[]string{"A /n", "A /n/f user.k=v data", "A /n/l -> to", "A /n/p"}},
		{"what is gone", "c /d", []string{"D /d"}},
		{"names of one new file", "d /n\nf /n/a x\nn /n/b n/a\nn /a n/a", []string{"A /a #1 x", "A /n", "A /n/a #1 x", "A /n/b #1 x"}},
		{"another name of a file, which is listed with all it has", "d /d\nf /d/f one\nn /d/g d/f\nn /h d/f\nn /a d/f",
			[]string{"A /a #1 one", "C /d", "C /d/f #1 one", "C /d/g #1 one", "C /h #1 one"}},
		{"links copied up and not changed", "d /d\nf /d/f one\nn /d/g d/f\nn /h d/f", nil},
		{"the same time and size, another content", "d /d\nf /d/f two", []string{"C /d", "C /d/f two"}},
		{"the same length, another target", "d /d\nl /d/l x", []string{"C /d", "C /d/l -> x"}},
		{"the same target", "d /d\nl /d/l f", nil},
		{"an attribute is gone", "d /d\nf /d/x exx", []string{"C /d", "C /d/x exx"}},
		{"a renamed directory", "c /d\nd /n\nx /n user.overlay.redirect=/d\nf /n/new n\nc /n/l",
			[]string{"D /d", "A /n", "A /n/f #1 one", "A /n/g #1 one", "A /n/new n", "A /n/x user.a=b exx"}},
		{"attributes alone, as the kernel marks it", "h /big 20000\nm /big\nx /big user.overlay.metacopy=", []string{"C /big b*20000"}},
		{"renamed in its directory", "h /b 20000\nx /b user.overlay.metacopy=\nx /b user.overlay.redirect=big\nc /big", []string{"A /b b*20000", "D /big"}},
		{"renamed to another", "d /e\nh /e/b 20000\nx /e/b user.overlay.metacopy=\nx /e/b user.overlay.redirect=/big", []string{"C /e", "A /e/b b*20000"}},
		{"in a renamed directory", "c /e\nd /n\nx /n user.overlay.redirect=/e\nh /n/big 8192\nm /n/big\nx /n/big user.overlay.metacopy=",
			[]string{"D /e", "A /n", "A /n/big e*8192"}},
		{"nothing but the marks", "h /big 20000\nx /big user.overlay.metacopy=", nil},
		{"a block of a large file", "h /big 20000 4096:u*4096\nx /big user.overlay.metacopy=\nx /big user.overlay.cfs.partial=20000\nx /big user.overlay.redirect=/.wh..wh.cfs-partial/big",
			[]string{"C /big b*4096u*4096b*11808"}},
		{"a block that is as before", "h /big 20000 4096:b*4096\nx /big user.overlay.metacopy=\nx /big user.overlay.cfs.partial=20000\nx /big user.overlay.redirect=/.wh..wh.cfs-partial/big", nil},
		{"the last, short block", "h /big 20000 16384:u*3616\nx /big user.overlay.metacopy=\nx /big user.overlay.cfs.partial=20000\nx /big user.overlay.redirect=/.wh..wh.cfs-partial/big",
			[]string{"C /big b*16384u*3616"}},
		{"grown behind the bound", "h /big 40000 16384:u*8192\nx /big user.overlay.metacopy=\nx /big user.overlay.cfs.partial=20000\nx /big user.overlay.redirect=/big",
			[]string{"C /big b*16384u*8192.*15424 [{0 24576}]"}},
		{"cut short", "h /big 9000\nx /big user.overlay.metacopy=\nx /big user.overlay.cfs.partial=20000\nx /big user.overlay.redirect=/big", []string{"C /big b*9000"}},
		{"cut to nothing and grown", "h /big 9000\nx /big user.overlay.metacopy=\nx /big user.overlay.cfs.partial=0\nx /big user.overlay.redirect=/gone", []string{"C /big .*9000 []"}},
		{"holes above and below", "h /thin 40960 20480:u*4096\nx /thin user.overlay.metacopy=\nx /thin user.overlay.cfs.partial=40960\nx /thin user.overlay.redirect=/thin",
			[]string{"C /thin .*8192t*4096.*8192u*4096.*16384 [{8192 4096} {20480 4096}]"}},
		{"whole again", "h /big 20000 0:w*20000\nx /big user.overlay.cfs.partial=20000\nx /big user.overlay.redirect=/gone", []string{"C /big w*20000"}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			b, err := OpenDirBase([]string{base}, whiteout.User)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			u := Upper{Dir: makeTree(t, tc.upper), Dialect: whiteout.User, Base: b}
			got, err := entriesOf(t, u.Diff())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if open := openBelow(t, base, u.Dir); len(open) > 3 { // the base's own
				t.Errorf("open after all: %v", open)
			}
		})
	}
}

// openBelow are this process's descriptors of what lies in dirs.
func openBelow(t testing.TB, dirs ...string) (open []string) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err == nil && slices.ContainsFunc(dirs, func(d string) bool { return strings.HasPrefix(to, d) }) {
			open = append(open, to)
		}
	}
	return open
}

// TestDiffRefuses: what can't be what it says is an error, at its place.
func TestDiffRefuses(t *testing.T) {
	base := makeTree(t, diffBase)
	const meta = "\nx /big user.overlay.metacopy="
	for what, upper := range map[string]string{
		"a bound that is no number":        "h /big 20000 0:u*4096" + meta + "\nx /big user.overlay.cfs.partial=many",
		"a bound below zero":               "h /big 20000 0:u*4096" + meta + "\nx /big user.overlay.cfs.partial=-1",
		"data of nothing":                  "h /big 20000" + meta + "\nx /big user.overlay.redirect=/none",
		"data of a directory":              "h /big 20000" + meta + "\nx /big user.overlay.redirect=/d",
		"data of a shorter file":           "h /big 20001" + meta,
		"data of a path that leads out":    "h /big 20000" + meta + "\nx /big user.overlay.redirect=/../big",
		"data of a path that isn't clean":  "h /big 20000" + meta + "\nx /big user.overlay.redirect=/d//f",
		"data of the root":                 "h /big 20000" + meta + "\nx /big user.overlay.redirect=/",
		"data of below an opaque one":      "d /n\nh /n/big 10" + strings.ReplaceAll(meta, "/big", "/n/big"),
		"a directory that leads elsewhere": "d /n\nx /n user.overlay.redirect=../d",
	} {
		t.Run(what, func(t *testing.T) {
			b, err := OpenDirBase([]string{base}, whiteout.User)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			got, err := entriesOf(t, Upper{Dir: makeTree(t, upper), Dialect: whiteout.User, Base: b}.Diff())
			if err == nil {
				t.Errorf("taken for %v", got)
			}
			t.Log(err)
		})
	}
}

// TestDiffMends: owners and names that a union keeps elsewhere, and what isn't
// an object's own.
func TestDiffMends(t *testing.T) {
	bad := errors.New("bad")
	u := Upper{
		Dir:     makeTree(t, "f /dev \nx /dev user.was=c\nf /link over/there\nx /link user.was=l\nf /f x\nx /f user.kept.security.capability=caps\nf /g x\nx /g user.kept.user.k=1\nx /g user.k=2"),
		Dialect: whiteout.User,
		Attr: func(a *Attr, xattr func(string) (string, bool)) error {
			switch v, _ := xattr("user.was"); v {
			case "c":
				a.Mode, a.Rdev, a.UID = unix.S_IFCHR|0o600, unix.Mkdev(1, 3), 77
			case "l":
				a.Mode = unix.S_IFLNK | 0o777
			case "bad":
				return bad
			}
			return nil
		},
		XattrName: func(s string) string { return strings.TrimPrefix(s, "user.kept.") },
	}
	var err error
	if u.Base, err = OpenDirBase(nil, whiteout.User); err != nil {
		t.Fatal(err)
	}
	got, err := entriesOf(t, u.Diff())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"A /dev user.was=c", "A /f security.capability=caps x", "A /g user.k=2 x", "A /link -> over/there user.was=l"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for e := range u.Diff() {
		if e.Path == "/dev" && (e.Attr.UID != 77 || e.Attr.Rdev != unix.Mkdev(1, 3)) {
			t.Errorf("%+v", e.Attr)
		}
	}
	if err := unix.Lsetxattr(u.Dir+"/f", "user.was", []byte("bad"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := entriesOf(t, u.Diff()); !errors.Is(err, bad) {
		t.Errorf("an attribute that can't be read: %v", err)
	}
}

func TestCarried(t *testing.T) {
	for name, want := range map[string]bool{
		"user.a": true, "trusted.a": true, "security.capability": true, "system.posix_acl_access": true, "system.posix_acl_default": true,
		"security.selinux": false, "security.ima": false, "security.SMACK64": false, "system.nfs4_acl": false, "com.apple.quarantine": false,
		"trusted.overlay.opaque": false, "user.overlay.origin": false, "user.fuseoverlayfs.opaque": false, "user.containers.override_stat": false,
		"user.overlay.overlay.opaque": true,
	} {
		if got := Carried(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestCompare(t *testing.T) {
	before := makeTree(t, "d /same\nf /same/f s\nf /gone g\nd /dir\nf /dir/in i\nf /mode m\nf /.wh.odd w\nf /content old\nl /l a\nf /one x\nn /two one")
	after := makeTree(t, "d /same\nf /same/f s\nd /new\nf /new/f n\nf /dir d\nf /mode m\nm /mode\nf /.wh.odd w\nf /content new\nl /l b\nf /one x\nn /two one\nn /three one")
	for _, dir := range []string{before, after} {
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, dir+"/mode", []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0); err != nil {
			t.Fatal(err)
		}
	}
	b, err := OpenTree(before)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got, err := entriesOf(t, Compare(b, after))
	if err != nil {
		t.Fatal(err)
	}
	// A file of the same size and time counts as the same.
	want := []string{"C /dir d", "D /gone", "C /l -> b", "C /mode m", "A /new", "A /new/f n", "C /one #1 x", "A /three #1 x", "C /two #1 x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := entriesOf(t, Compare(b, before)); err != nil || got != nil {
		t.Errorf("a tree against itself: %v, %v", got, err)
	}
	if _, err := entriesOf(t, Compare(b, before+"/none")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a tree that is not there: %v", err)
	}
}

// TestEntryOutlivesTheWalk: data that was opened in time stays good.
func TestEntryOutlivesTheWalk(t *testing.T) {
	base := makeTree(t, diffBase)
	b, err := OpenDirBase([]string{base}, whiteout.User)
	if err != nil {
		t.Fatal(err)
	}
	u := Upper{Dir: makeTree(t, "h /big 20000 4096:u*4096\nx /big user.overlay.metacopy=\nx /big user.overlay.cfs.partial=20000\nf /f data"), Dialect: whiteout.User, Base: b}
	var open []Data
	for e, err := range u.Diff() {
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second from the name again
			d, err := e.Open()
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, d)
		}
	}
	b.Close()
	for i, want := range []string{"bbuu", "bbuu", "data", "data"} {
		got := make([]byte, 4)
		off := int64(4094)
		if i > 1 {
			off = 0
		}
		if _, err := open[i].ReadAt(got, off); err != nil || string(got) != want {
			t.Errorf("%d: %q, %v", i, got, err)
		}
		if err := open[i].Close(); err != nil {
			t.Error(err)
		}
	}
	if left := openBelow(t, base, u.Dir); len(left) > 0 {
		t.Errorf("open: %v", left)
	}
}

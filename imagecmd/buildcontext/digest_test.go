package buildcontext

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// counted counts the files of a tree that are opened.
type counted struct {
	tree
	opened atomic.Int32
}

func (c *counted) open(p string) (cow.Data, error) {
	c.opened.Add(1)
	return c.tree.open(p)
}

func digestOf(t testing.TB, c Copy, d *Digests) string {
	t.Helper()
	sel, err := c.Select(context.Background(), SelectOptions{Digests: d})
	must(t, err)
	defer sel.Close()
	sum, err := sel.Digest(context.Background())
	must(t, err)
	return sum.String()
}

func TestDigestDependsOn(t *testing.T) {
	base := []string{"f d/a 644 a", "f d/b 600 b", "l d/l a", "d d/sub 755", "f d/sub/c 644 c"}
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, dir string)
		c      func(c *Copy)
		other  bool
	}{
		{"nothing", nil, nil, false},
		{"times", func(t *testing.T, dir string) { must(t, os.Chtimes(dir+"/d/a", time.Now(), time.Now())) }, nil, false},
		{"content", func(t *testing.T, dir string) { must(t, os.WriteFile(dir+"/d/a", []byte("x"), 0o644)) }, nil, true},
		{"a mode", func(t *testing.T, dir string) { must(t, os.Chmod(dir+"/d/b", 0o644)) }, nil, true},
		{"a directory's mode", func(t *testing.T, dir string) { must(t, os.Chmod(dir+"/d/sub", 0o700)) }, nil, true},
		{"the mode of the directory itself", func(t *testing.T, dir string) { must(t, os.Chmod(dir+"/d", 0o700)) }, nil, false},
		{"a name", func(t *testing.T, dir string) { must(t, os.Rename(dir+"/d/a", dir+"/d/z")) }, nil, true},
		{"one more", func(t *testing.T, dir string) { must(t, os.WriteFile(dir+"/d/new", nil, 0o644)) }, nil, true},
		{"one less", func(t *testing.T, dir string) { must(t, os.Remove(dir+"/d/a")) }, nil, true},
		{"one outside", func(t *testing.T, dir string) { must(t, os.WriteFile(dir+"/new", nil, 0o644)) }, nil, false},
		{"a target", func(t *testing.T, dir string) { must(t, os.Remove(dir+"/d/l")); must(t, os.Symlink("b", dir+"/d/l")) }, nil, true},
		{"an attribute", func(t *testing.T, dir string) { must(t, unix.Setxattr(dir+"/d/a", "user.x", []byte("1"), 0)) }, nil, true},
		{"a directory's", func(t *testing.T, dir string) { must(t, unix.Setxattr(dir+"/d/sub", "user.x", []byte("1"), 0)) }, nil, true},
		{"a hard link", func(t *testing.T, dir string) {
			must(t, os.Remove(dir+"/d/sub/c"))
			must(t, os.WriteFile(dir+"/d/b", []byte("c"), 0o644))
			must(t, os.Chmod(dir+"/d/b", 0o644))
			must(t, os.Link(dir+"/d/b", dir+"/d/sub/c"))
		}, nil, true},
		{"an ignored file", func(t *testing.T, dir string) { must(t, os.WriteFile(dir+"/d/x.ignored", nil, 0o644)) }, nil, false},
		{"--chown", nil, func(c *Copy) { c.Chown = "1" }, true},
		{"--chmod", nil, func(c *Copy) { c.Chmod = "700" }, true},
		{"--exclude", nil, func(c *Copy) { c.Exclude = []string{"a"} }, true},
		{"--exclude of nothing", nil, func(c *Copy) { c.Exclude = []string{"zzz"} }, false},
		{"a here-document", nil, func(c *Copy) { c.Inline = []Inline{{"EOF", nil}} }, true},
		{"the destination", nil, func(c *Copy) { c.Dest = "/elsewhere" }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sum := func(change bool) string {
				dir := makeTree(t, t.TempDir(), base...)
				if change && tc.change != nil {
					tc.change(t, dir)
				}
				c := Copy{From: dirSource(t, dir, "**/*.ignored"), Paths: []string{"d"}, Dest: "/"}
				if change && tc.c != nil {
					tc.c(&c)
				}
				return digestOf(t, c, nil)
			}
			if a, b := sum(false), sum(true); (a != b) != tc.other {
				t.Errorf("%s, then %s", a, b)
			}
		})
	}
}

// A chown in a context changes nothing, as all of it belongs to 0:0; in a stage it does.
func TestDigestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	dir := makeTree(t, t.TempDir(), "f a 644 a")
	b, err := cow.OpenTree(dir)
	must(t, err)
	defer b.Close()
	sums := func() [2]string {
		return [2]string{
			digestOf(t, Copy{From: dirSource(t, dir, ""), Paths: []string{"a"}, Dest: "/"}, nil),
			digestOf(t, Copy{From: FromTree("stage x", b, ""), Paths: []string{"a"}, Dest: "/"}, nil),
		}
	}
	before := sums()
	must(t, os.Chown(filepath.Join(dir, "a"), 1, 2))
	if after := sums(); before[0] != after[0] || before[1] == after[1] {
		t.Errorf("%q, then %q", before, after)
	}
}

// A file that has not changed is read once; one that has is read again.
func TestDigestRemembers(t *testing.T) {
	dir, memory := makeTree(t, t.TempDir(), "f a 644 a", "f b 644 b", "d s 755", "f s/c 644 c"), t.TempDir()
	time.Sleep(150 * time.Millisecond)
	step := func() (sum string, opened int32) {
		t.Helper()
		d, err := OpenDigests(memory)
		must(t, err)
		src := dirSource(t, dir, "")
		c := &counted{tree: src.tree}
		src.tree = c
		sum = digestOf(t, Copy{From: src, Paths: []string{"."}, Dest: "/"}, d)
		must(t, d.Close())
		return sum, c.opened.Load()
	}
	first, n := step()
	if n != 3 {
		t.Errorf("%d files read at first", n)
	}
	if again, n := step(); again != first || n != 0 {
		t.Errorf("%s with %d files read, then %s", first, n, again)
	}
	// The same size and the same mtime: only the ctime tells.
	must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("x"), 0o644))
	must(t, os.Chtimes(filepath.Join(dir, "a"), past, past))
	changed, n := step()
	if changed == first || n != 1 {
		t.Errorf("%s with %d files read after a change, was %s", changed, n, first)
	}
	time.Sleep(150 * time.Millisecond)
	step()
	if again, n := step(); again != changed || n != 0 {
		t.Errorf("%s with %d files read after a while, was %s", again, n, changed)
	}
	// Damage is as if nothing was there.
	files, err := filepath.Glob(filepath.Join(memory, "*"+memoSuffix))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("%q", files)
	}
	b, err := os.ReadFile(files[0])
	must(t, err)
	for _, damage := range []func(b []byte) []byte{
		func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		func(b []byte) []byte { return b[:len(b)-1] },
		func(b []byte) []byte { return b[:3] },
		func(b []byte) []byte { return nil },
	} {
		must(t, os.WriteFile(files[0], damage(append([]byte(nil), b...)), 0o600))
		if again, n := step(); again != changed || n != 3 {
			t.Errorf("%s with %d files read after damage, was %s", again, n, changed)
		}
	}
}

// What could be changed once more without another ctime is not remembered.
func TestSettled(t *testing.T) {
	second := past.UnixNano()
	for _, tc := range []struct {
		ctime, later time.Duration // after second, and after that
		want         bool
	}{
		{5, 0, false}, {5, 20 * time.Millisecond, false}, {5, 200 * time.Millisecond, true},
		{0, 200 * time.Millisecond, false}, {0, 2 * time.Second, false}, {0, 4 * time.Second, true},
		{5, -time.Hour, false},
	} {
		o := object{id: fileID{ctime: second + int64(tc.ctime)}}
		if got := settled(&o, time.Unix(0, o.id.ctime).Add(tc.later)); got != tc.want {
			t.Errorf("ctime %v, read %v later: %t", tc.ctime, tc.later, got)
		}
	}
}

// Two builds at once both remember.
func TestDigestsAtOnce(t *testing.T) {
	dir, memory := makeTree(t, t.TempDir(), "f a/x 644 a", "f b/x 644 b"), t.TempDir()
	time.Sleep(150 * time.Millisecond)
	var all sync.WaitGroup
	for _, part := range []string{"a", "b", "a", "b"} {
		src := dirSource(t, dir, "")
		all.Go(func() {
			d, err := OpenDigests(memory)
			if err != nil {
				t.Error(err)
				return
			}
			defer d.Close()
			digestOf(t, Copy{From: src, Paths: []string{part}, Dest: "/"}, d)
		})
	}
	all.Wait()
	d, err := OpenDigests(memory)
	must(t, err)
	defer d.Close()
	src := dirSource(t, dir, "")
	c := &counted{tree: src.tree}
	src.tree = c
	digestOf(t, Copy{From: src, Paths: []string{"a", "b"}, Dest: "/"}, d)
	if n := c.opened.Load(); n != 0 {
		t.Errorf("%d files read again", n)
	}
}

// What is remembered has a bound: what is out of use goes.
func TestMemoBounds(t *testing.T) {
	m := &memo{fresh: map[fileKey]record{}}
	var old []byte
	for i := range 10 {
		r := record{key: fileKey{1, uint64(i)}, day: uint16(1000 + 10*i)}
		old = r.append(old)
	}
	m.fresh[fileKey{1, 3}] = record{key: fileKey{1, 3}, day: 1100}
	got := m.merged(old, 1100)
	var inodes []uint64
	for _, r := range got {
		inodes = append(inodes, r.key.ino)
	}
	if len(inodes) != 4 || inodes[0] != 3 || inodes[1] != 7 || inodes[3] != 9 {
		t.Errorf("%v are kept", inodes)
	}
	for i := range maxRecords {
		m.fresh[fileKey{2, uint64(i)}] = record{key: fileKey{2, uint64(i)}, day: 1100}
	}
	if n := len(m.merged(old, 1100)); n != maxRecords {
		t.Errorf("%d records are kept", n)
	}
	dir := t.TempDir()
	for i := range maxMemos + 5 {
		p := filepath.Join(dir, string(rune('A'+i%26))+string(rune('a'+i/26))+memoSuffix)
		must(t, os.WriteFile(p, nil, 0o600))
		at := past.Add(time.Duration(i) * time.Hour)
		must(t, os.Chtimes(p, at, at))
	}
	must(t, os.WriteFile(filepath.Join(dir, "left"), nil, 0o600))
	must(t, forgetMemos(dir, maxMemos))
	if _, err := os.Stat(filepath.Join(dir, "Aa"+memoSuffix)); !os.IsNotExist(err) {
		t.Errorf("the oldest is kept: %v", err)
	}
	list, err := os.ReadDir(dir)
	must(t, err)
	if len(list) != maxMemos {
		t.Errorf("%d files are kept", len(list))
	}
}

// What changes after its digest was taken fails the layer.
func TestChangedMeanwhile(t *testing.T) {
	dir := makeTree(t, t.TempDir(), "f a 644 a")
	c := Copy{From: dirSource(t, dir, ""), Paths: []string{"a"}, Dest: "/"}
	sel, err := c.Select(context.Background(), SelectOptions{})
	must(t, err)
	defer sel.Close()
	_, err = sel.Digest(context.Background())
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("longer"), 0o644))
	if _, err := lines(sel.Entries(context.Background(), nil)); err == nil {
		t.Error("no error")
	}
}

package unionfs

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// stillAhead opens a lower whose ahead notes what is to be done and does it only
// when the test says so.
func stillAhead(t *testing.T, layers ...string) *dirsLower {
	t.Helper()
	d, err := newDirsLower(new(privateDirs), layers, nil, false)
	must(t, err)
	d.ahead.started = true
	close(d.ahead.done)
	t.Cleanup(func() { must(t, d.close()) })
	return d
}

// find looks a path up, "" the root.
func find(t *testing.T, d *dirsLower, path string) lowerRef {
	t.Helper()
	ref := d.root()
	for name := range strings.SplitSeq(path, "/") {
		if name == "" {
			continue
		}
		e, err := d.lookup(ref, name)
		must(t, err)
		ref = e.ref
	}
	return ref
}

// listFrom lists a directory as a client does.
func listFrom(t *testing.T, d *dirsLower, path string) {
	t.Helper()
	must(t, d.readdir(find(t, d, path), 0, func(*lowerEntry) bool { return true }))
}

func TestAheadOfWalk(t *testing.T) {
	low, over := scratch(t), scratch(t)
	mkdirs(t, filepath.Join(over, "a/y"), filepath.Join(over, "c"))
	for _, p := range []string{"a/x/f", "a/y/p/f", "a/z/f", "b/q/f", "file"} {
		write(t, filepath.Join(low, p), "")
	}
	for _, c := range []struct {
		name string
		list []string
		want []string
	}{
		{"the root alone is no walk", []string{""}, nil},
		{"a directory whose parent nobody listed is none", []string{"a"}, nil},
		{"what is in it, then those after it", []string{"", "a"}, []string{"a/x", "a/y", "a/z", "b", "c"}},
		{"not what was listed", []string{"", "a", "a/x", "a/y"}, []string{"a/y/p", "a/z", "b", "c"}},
		{"on after it", []string{"", "a", "a/x", "a/y", "a/y/p", "a/z", "b"}, []string{"b/q", "c"}},
		{"twice is as once", []string{"", "a", "a"}, []string{"a/x", "a/y", "a/z", "b", "c"}},
		{"what was left out is not wanted", []string{"", "a", "a/y", "b"}, []string{"b/q", "c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := stillAhead(t, over, low)
			for _, p := range c.list {
				listFrom(t, d, p)
			}
			var got []string
			for o := d.ahead.nextDir(); o != nil; o = d.ahead.nextDir() {
				got = append(got, o.locs[0].path)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestAheadKnowsItsLimit: what nobody asks for in the end is little.
func TestAheadKnowsItsLimit(t *testing.T) {
	low := scratch(t)
	const dirs, names = 5, aheadNames/2 + 1
	for i := range dirs {
		for j := range names {
			mkdirs(t, filepath.Join(low, fmt.Sprintf("w/d%d/%d", i, j)))
		}
	}
	d := stillAhead(t, low)
	a := d.ahead
	listFrom(t, d, "")
	listFrom(t, d, "w")
	read := func() (n int) {
		for a.readDir() {
			n++
		}
		return n
	}
	if n := read(); n != 2 {
		t.Fatalf("%d directories of %d names were read ahead, want 2", n, names)
	}
	table := func(i int) *dirTable { return find(t, d, fmt.Sprintf("w/d%d", i)).obj.table.Load() }
	for i := range dirs {
		if read := table(i) != nil; read != (i < 2) {
			t.Errorf("w/d%d is read: %v", i, read)
		}
	}
	listFrom(t, d, "w/d0")
	if n := a.lead; n != names {
		t.Errorf("%d names ahead after one of two directories was listed, want %d", n, names)
	}
	if o := a.nextDir(); o == nil || o.locs[0].path != "w/d0/0" {
		t.Errorf("the walk goes on with %v, want w/d0/0", o)
	}
}

// handmade is a directory of n files, and subdirectories where dirs says; the
// file at i has inode number ino(i).
func handmade(n int, ino func(i int) int, dirs ...int) *dirObj {
	t := &dirTable{}
	for i := range n {
		e := dirName{ino: uint64(ino(i)), off: uint32(len(t.names)), len: 3, typ: unix.DT_REG}
		if slices.Contains(dirs, i) {
			e.typ = unix.DT_DIR
		}
		t.names += fmt.Sprintf("%03d", i)
		t.list = append(t.list, e)
	}
	o := new(dirObj)
	o.table.Store(t)
	return o
}

// drain takes all that is to be read ahead.
func drain(s *sequence) (taken []int) {
	for r, ok := s.take(); ok; r, ok = s.take() {
		taken = append(taken, int(r.nid)-1)
	}
	return taken
}

func upTo(from, to, step int) (l []int) {
	for i := from; i != to; i += step {
		l = append(l, i)
	}
	return l
}

func TestSequence(t *testing.T) {
	ascending := func(i int) int { return i }
	descending := func(i int) int { return 1000 - i }
	for _, c := range []struct {
		name  string
		dir   *dirObj
		reads []int
		want  []int
	}{
		{"one", handmade(100, ascending), []int{0}, nil},
		{"two, of which the second may be chance", handmade(100, ascending), []int{0, 1}, nil},
		{"as listed", handmade(100, ascending), []int{0, 1, 2}, upTo(3, 3+aheadFiles, 1)},
		{"to the end", handmade(10, ascending), []int{0, 1, 2}, upTo(3, 10, 1)},
		{"some are left out", handmade(100, ascending), []int{10, 13, 20}, upTo(21, 21+aheadFiles, 1)},
		{"directories between", handmade(100, ascending, upTo(2, 60, 1)...), []int{0, 1, 60}, upTo(61, 61+aheadFiles, 1)},
		{"by inode number", handmade(100, descending), []int{99, 98, 97, 96}, upTo(95, 95-aheadFiles, -1)},
		{"by inode number, from the middle", handmade(100, descending), []int{50, 49, 48, 47}, upTo(46, 46-aheadFiles, -1)},
		{"backwards by both", handmade(100, ascending), []int{99, 98, 97, 96}, nil},
		{"at random", handmade(100, func(i int) int { return i * 37 % 101 }), []int{5, 90, 41, 3, 70, 22, 55, 8, 77}, nil},
		{"the same again and again", handmade(100, ascending), []int{7, 7, 7, 7, 7}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s sequence
			for _, i := range c.reads {
				s.read(lowerRef{obj: c.dir, nid: nidOf(i)})
			}
			if diff := cmp.Diff(c.want, drain(&s)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSequenceIsBounded: all are taken once, and none too early.
func TestSequenceIsBounded(t *testing.T) {
	const n = 500
	o := handmade(n, func(i int) int { return i })
	var s sequence
	next := 3
	for i := range n {
		s.read(lowerRef{obj: o, nid: nidOf(i)})
		for _, p := range drain(&s) {
			if p != next || p > i+aheadFiles {
				t.Fatalf("after %d was read, %d is taken; want %d, and at most %d files ahead", i, p, next, aheadFiles)
			}
			next++
		}
	}
	if next != n {
		t.Errorf("%d of %d were taken", next, n)
	}
}

// TestSequenceGoesOn: a directory that is listed after one whose files were read
// begins at once, unless the client has stopped to read.
func TestSequenceGoesOn(t *testing.T) {
	for _, ino := range []func(int) int{func(i int) int { return i }, func(i int) int { return 1000 - i }} {
		first, second, third, fourth := handmade(4, ino), handmade(8, ino), handmade(8, ino), handmade(8, ino)
		order := func(n int) []int {
			l := upTo(0, n, 1)
			slices.SortFunc(l, func(a, b int) int { return ino(a) - ino(b) })
			return l
		}
		var s sequence
		s.enter(first, first.table.Load())
		for _, i := range order(4) {
			s.read(lowerRef{obj: first, nid: nidOf(i)})
		}
		drain(&s)
		s.enter(second, second.table.Load())
		if diff := cmp.Diff(order(8), drain(&s)); diff != "" {
			t.Errorf("the next directory: %s", diff)
		}
		s.enter(third, third.table.Load())
		if got := drain(&s); got != nil {
			t.Errorf("though nothing of the one before was read: %v", got)
		}
		s.read(lowerRef{obj: second, nid: nidOf(0)})
		s.enter(fourth, fourth.table.Load())
		if got := drain(&s); got != nil {
			t.Errorf("after one file: %v", got)
		}
	}
}

// TestAheadReads: a walk that reads has the next files open before it comes to them.
func TestAheadReads(t *testing.T) {
	low := scratch(t)
	for i := range 10 {
		write(t, filepath.Join(low, fmt.Sprintf("d/%d", i)), "text")
	}
	write(t, filepath.Join(low, "e/f/file"), "text")
	d, err := newDirsLower(new(privateDirs), []string{low}, nil, false)
	must(t, err)
	listFrom(t, d, "")
	listFrom(t, d, "d")
	buf := make([]byte, 10)
	for i := range 3 {
		if _, err := d.readAt(find(t, d, fmt.Sprintf("d/%d", i)), buf, 0); err != nil {
			t.Fatal(err)
		}
	}
	there := func() bool {
		for i := range 10 {
			key := placeKey{find(t, d, fmt.Sprintf("d/%d", i)), 0}
			h := d.files.get(key.slot(), key)
			if h == nil {
				return false
			}
			h.put()
		}
		return find(t, d, "e").obj.table.Load() != nil
	}
	for end := time.Now().Add(time.Minute); !there(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what comes next was not read")
		}
	}
	must(t, d.close())
}

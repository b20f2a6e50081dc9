package cowtest

import (
	"archive/tar"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

var randomCases = []Case{
	{"RandomOperations", func(c *C) {
		for seed := range uint64(4) {
			c.random(seed, 150)
		}
	}},
}

// random does the same operations to a mount and to a plain directory, and
// compares errors, trees and the list of changes.
func (c *C) random(seed uint64, steps int) {
	c.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	layers := randomLayers(r)
	c.start(layers...)
	base := c.walk(c.dir)
	c.same(Merge(layers...))
	if c.Failed() {
		c.Fatalf("seed %d: %+v", seed, layers)
	}
	plain := c.h.scratch(c.T)
	c.must(Merge(layers...).plant(plain, layers))
	noRename := c.limit(RenameDirEXDEV)
	var history []string
	done := 0
	for i := range steps {
		op := randomOp(r, i, c.walk(plain))
		got := op.do(c.dir)
		if noRename && errors.Is(got, unix.EXDEV) {
			continue
		}
		want := op.do(plain)
		history = append(history, fmt.Sprintf("%s: %v", op.name, want))
		if errno(got) != errno(want) {
			c.Fatalf("seed %d, step %d, %s: %v, a plain directory says %v\n%s", seed, i, op.name, got, want, strings.Join(history, "\n"))
		}
		if want == nil {
			done++
		}
		if i == steps/2 {
			c.remount()
		}
	}
	check := func(when string) {
		c.Helper()
		got := c.walk(c.dir)
		if diff := cmp.Diff(c.walk(plain).timeless(), got.timeless()); diff != "" {
			c.Fatalf("seed %d, %s (-plain +mount):\n%s\n%s", seed, when, diff, strings.Join(history, "\n"))
		}
		var list []string
		for ch, err := range c.drv.Changes(c.Context(), c.snap) {
			c.must(err)
			list = append(list, ch.Kind.String()+" "+ch.Path)
		}
		if diff := cmp.Diff(Diff(base, got), list); diff != "" {
			c.Fatalf("seed %d, %s, changes:\n%s\n%s", seed, when, diff, strings.Join(history, "\n"))
		}
	}
	if done < steps/6 {
		c.Errorf("seed %d: only %d of %d operations did anything", seed, done, steps)
	}
	check("mounted")
	c.diff()
	c.remount()
	check("mounted again")
	c.unmount()
	c.must(c.drv.Remove(c.Context(), c.snap))
	c.emptySnapshot()
}

func (c *C) walk(dir string) Tree {
	c.Helper()
	t, err := Walk(dir)
	c.must(err)
	return t
}

// timeless is t without what two filesystems can't agree on.
func (t Tree) timeless() Tree {
	out := Tree{}
	for p, n := range t {
		n.Mtime = 0
		if p == "." {
			n = Node{}
		}
		out[p] = n
	}
	return out
}

func errno(err error) unix.Errno {
	var e unix.Errno
	if err != nil && !errors.As(err, &e) {
		return unix.ENOSYS // an error without a number equals none that has one
	}
	if e == unix.EEXIST {
		e = unix.ENOTEMPTY // rename(2) and rmdir(2) may say either
	}
	return e
}

// A few short names, so that operations meet.
func randomPath(r *rand.Rand) string {
	names := []string{"a", "b", "c", "\xffd"}
	p := names[r.IntN(len(names))]
	for r.IntN(3) > 0 && len(p) < 6 {
		p += "/" + names[r.IntN(len(names))]
	}
	return p
}

func randomLayers(r *rand.Rand) []Layer {
	var layers []Layer
	for i := range 3 {
		have := Merge(layers...)
		var l Layer
		for range 12 {
			p := randomPath(r)
			next := Merge(append(slices.Clone(layers), l)...)
			if dir := path.Dir(p); dir != "." {
				ok := true
				for d := dir; d != "."; d = path.Dir(d) {
					if n, there := next[d]; there && n.Mode&unix.S_IFMT != unix.S_IFDIR {
						ok = false
					}
				}
				if !ok {
					continue
				}
			}
			switch _, there := have[p]; r.IntN(6) {
			case 0, 1:
				l = append(l, Dir(p))
			case 2, 3:
				l = append(l, File(p, fmt.Sprint("layer ", i, " ", p)))
			case 4:
				l = append(l, Symlink(p, "a"))
			case 5:
				if there && !slices.ContainsFunc(l, func(e Entry) bool { return e.Path == p || strings.HasPrefix(e.Path, p+"/") }) {
					l = append(l, Whiteout(p))
				}
			}
		}
		layers = append(layers, l)
	}
	return layers
}

// plant writes t, of regular files, directories and symlinks, below dir.
func (t Tree) plant(dir string, layers []Layer) error {
	data := map[string]string{}
	for _, l := range layers {
		for _, e := range l {
			if e.Type == tar.TypeReg {
				data[sum(e.Data)] = e.Data
			}
		}
	}
	var paths []string
	for p := range t {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		n := t[p]
		at := dir + "/" + p
		var err error
		switch {
		case p == ".":
		case n.Mode&unix.S_IFMT == unix.S_IFDIR:
			err = os.Mkdir(at, 0o755)
		case n.Mode&unix.S_IFMT == unix.S_IFLNK:
			err = os.Symlink(n.Target, at)
		default:
			err = os.WriteFile(at, []byte(data[n.Sum]), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type op struct {
	name string
	do   func(root string) error
}

// randomOp is one that may or may not work; have is what is there.
func randomOp(r *rand.Rand, i int, have Tree) op {
	p, q := randomPath(r), randomPath(r)
	if there := slices.Sorted(maps.Keys(have)); r.IntN(4) > 0 {
		p = there[r.IntN(len(there))]
		if p == "." {
			p = "a"
		}
	}
	data := fmt.Sprintf("step %d", i)
	write := func(flags int) func(string) error {
		return func(root string) error {
			f, err := os.OpenFile(root+"/"+p, flags|os.O_WRONLY|unix.O_NOFOLLOW, 0o644)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString(data)
			return err
		}
	}
	on := func(f func(string) error) func(string) error {
		return func(root string) error { return f(root + "/" + p) }
	}
	switch r.IntN(13) {
	case 0:
		return op{name: "create " + p, do: write(os.O_CREATE | os.O_EXCL)}
	case 1:
		return op{name: "write " + p, do: write(os.O_TRUNC)}
	case 2:
		return op{name: "append " + p, do: write(os.O_APPEND)}
	case 3:
		return op{name: "overwrite " + p, do: write(0)}
	case 4:
		return op{name: "unlink " + p, do: on(unix.Unlink)}
	case 5:
		return op{name: "rmdir " + p, do: on(unix.Rmdir)}
	case 6:
		return op{name: "rm -r " + p, do: on(os.RemoveAll)}
	case 7:
		return op{name: "mkdir " + p, do: on(func(at string) error { return unix.Mkdir(at, 0o755) })}
	case 8:
		mode := uint32(0o700 | r.IntN(64))
		return op{name: fmt.Sprintf("chmod %o %s", mode, p), do: on(func(at string) error {
			var st unix.Stat_t
			if err := unix.Lstat(at, &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK {
				return err
			}
			return unix.Chmod(at, mode)
		})}
	case 9:
		return op{name: "link " + p + " " + q, do: func(root string) error { return unix.Link(root+"/"+p, root+"/"+q) }}
	case 10:
		return op{name: "symlink " + p, do: on(func(at string) error { return unix.Symlink(data, at) })}
	case 11:
		return op{name: "setxattr " + p, do: on(func(at string) error {
			var st unix.Stat_t
			if err := unix.Lstat(at, &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK {
				return err
			}
			return unix.Lsetxattr(at, "user.random", []byte(data), 0)
		})}
	}
	return op{
		name: "rename " + p + " " + q,
		do:   func(root string) error { return unix.Rename(root+"/"+p, root+"/"+q) },
	}
}

// Diff lists what differs between two trees as `docker diff` would, in the
// form "A /path": the slow and simple way, for comparing with a driver's own.
func Diff(before, after Tree) []string {
	kinds := map[string]cow.Kind{}
	isDir := func(n Node) bool { return n.Mode&unix.S_IFMT == unix.S_IFDIR }
	for p, n := range after {
		old, was := before[p]
		if p == "." {
			continue
		}
		o, m := old, n
		o.Links, m.Links = "", ""
		if isDir(n) && isDir(old) {
			o.Mtime, m.Mtime = 0, 0
		}
		switch {
		case !was:
			kinds[p] = cow.Added
		case !cmp.Equal(o, m):
			kinds[p] = cow.Changed
		}
	}
	for p := range before {
		if _, is := after[p]; is {
			continue
		}
		if parent, there := after[path.Dir(p)]; there && isDir(parent) {
			kinds[p] = cow.Deleted
		}
	}
	for p := range kinds {
		for d := path.Dir(p); d != "."; d = path.Dir(d) {
			if _, ok := kinds[d]; !ok {
				kinds[d] = cow.Changed
			}
		}
	}
	var paths []string
	for p := range kinds {
		paths = append(paths, p)
	}
	slices.SortFunc(paths, func(a, b string) int {
		return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
	})
	var out []string
	for _, p := range paths {
		out = append(out, kinds[p].String()+" /"+p)
	}
	return out
}

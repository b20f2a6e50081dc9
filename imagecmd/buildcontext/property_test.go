package buildcontext

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/internal/treediff"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/whiteout"
)

// randomTree makes a tree of few names, so that copies meet what is there; one name of sparse is there.
func randomTree(t testing.TB, r *rand.Rand, dir string, sparse int) {
	must(t, os.MkdirAll(dir, 0o755))
	names := []string{"a", "b", "c", "d.x", "e.y"}
	var files []string
	var fill func(dir string, depth int)
	fill = func(dir string, depth int) {
		for _, name := range names {
			p := filepath.Join(dir, name)
			switch k := r.IntN(10 * sparse); {
			case k < 2:
				must(t, os.WriteFile(p, []byte(fmt.Sprint(r.IntN(100))), 0o600))
				if r.IntN(6) == 0 {
					must(t, unix.Setxattr(p, "user.k", []byte{byte('0' + r.IntN(10))}, 0))
				}
				must(t, unix.Chmod(p, uint32(r.IntN(0o10000))))
				at := past.AddDate(0, 0, r.IntN(100))
				must(t, os.Chtimes(p, at, at))
				files = append(files, p)
			case k < 5 && depth < 3:
				must(t, os.Mkdir(p, 0o700))
				fill(p, depth+1)
				must(t, unix.Chmod(p, uint32(r.IntN(0o10000))))
			case k == 5:
				targets := []string{"a", "../b", "/a/b", "../../../c", "/", ".", "nosuch", "b/c", "/nosuch/d", name}
				must(t, os.Symlink(targets[r.IntN(len(targets))], p))
			case k == 6 && len(files) > 0:
				must(t, os.Link(files[r.IntN(len(files))], p))
			}
		}
	}
	fill(dir, 0)
}

func pick(r *rand.Rand, s ...string) string { return s[r.IntN(len(s))] }

// randomCopy is an instruction on such trees.
func randomCopy(r *rand.Rand) (c Copy, ignore []string) {
	words := []string{"a", "b", "c", "d.x", "e.y", "*", "*", "?", "*.x", "..", "."}
	p := func() string {
		var s []string
		for range 1 + r.IntN(3) {
			s = append(s, pick(r, words...))
		}
		return pick(r, "", "", "/") + strings.Join(s, "/") + pick(r, "", "", "/")
	}
	for range 1 + r.IntN(3) {
		c.Paths = append(c.Paths, pick(r, ".", "a", "b", "*", "*/*", p()))
	}
	c.Dest = pick(r, "/", "/a", "/a/", "b", "b/", ".", "/c/new/", "/new/x", "/a/b/c", "d.x/")
	c.WorkDir = pick(r, "", "/a", "/w")
	if r.IntN(3) == 0 {
		c.Chmod = pick(r, "700", "4755", "u=rwX,go=rX", "+x", "go-w", "g=u")
	}
	if r.IntN(3) == 0 {
		c.Chown = pick(r, "1", "2:3", "0")
	}
	some := func() (out []string) {
		for range r.IntN(3) {
			out = append(out, pick(r, "", "", "", "!")+pick(r, "a", "*", "**", "*.x", "*/b", "**/c", "a/b", "b/*", "a/**/e.y", "?"))
		}
		return out
	}
	if r.IntN(3) == 0 {
		c.Exclude = some()
	}
	if r.IntN(4) == 0 {
		c.Parents = true
		for i, s := range c.Paths {
			c.Paths[i] = strings.ReplaceAll(strings.ReplaceAll(s, "..", "a"), "*", pick(r, "*", "**"))
			if r.IntN(3) == 0 {
				c.Paths[i] = pick(r, ".", "a", "b", "*") + "/./" + strings.TrimPrefix(c.Paths[i], "/")
			}
		}
	}
	if r.IntN(2) == 0 {
		ignore = some()
	}
	return c, ignore
}

// A random copy of a random context over a random tree makes what the calls of the host make.
func TestProperty(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: modes and owners are random")
	}
	n := 200
	if testing.Short() {
		n = 50
	}
	dir := testenv.TempDir(t)
	copied, refused := 0, 0
	for seed := range n {
		if testProperty(t, dir, uint64(seed)) {
			copied++
		} else {
			refused++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if copied < n/4 || refused < n/20 {
		t.Errorf("%d copied and %d refused: the test says little", copied, refused)
	}
}

func testProperty(t *testing.T, dir string, seed uint64) (copied bool) {
	dir, err := os.MkdirTemp(dir, "copy-")
	must(t, err)
	defer os.RemoveAll(dir)
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"ctx", "plain"} {
		randomTree(t, rand.New(rand.NewPCG(seed, 1)), at(name), 1)
	}
	for _, name := range []string{"lower", "want", "got"} {
		randomTree(t, rand.New(rand.NewPCG(seed, 2)), at(name), 3)
	}
	c, ignore := randomCopy(rand.New(rand.NewPCG(seed, 3)))
	ignoreNaively(t, at("plain"), ignore)
	model := naive{c: c, src: at("plain"), dst: at("want")}
	wantErr := model.run()

	i, err := ParseIgnore(strings.NewReader(strings.Join(ignore, "\n")))
	must(t, err)
	if c.From, err = FromDir("build context", at("ctx"), i); err != nil {
		t.Fatal(err)
	}
	defer c.From.Close()
	base, err := cow.OpenTree(at("lower"))
	must(t, err)
	defer base.Close()
	ctx := context.Background()
	sel, gotErr := c.Select(ctx, SelectOptions{})
	if gotErr == nil {
		defer sel.Close()
		_, err := sel.Digest(ctx)
		must(t, err)
		gotErr = cow.Apply(ctx, at("got"), sel.Entries(ctx, base), false)
	}
	if (wantErr == nil) != (gotErr == nil) {
		t.Fatalf("%+v, ignoring %q: error %v, want %v", c, ignore, gotErr, wantErr)
	}
	if wantErr != nil {
		return false
	}
	want, err := treediff.Walk(at("want"), treediff.Options{})
	must(t, err)
	if seed%4 == 0 {
		// The layer over the layers of what is below, as a tar, makes the same.
		must(t, os.RemoveAll(at("got")))
		layered(t, dir, at("lower"), at("got"), sel.Entries(ctx, base))
	}
	got, err := treediff.Walk(at("got"), treediff.Options{})
	must(t, err)
	// Times of directories are the clock's.
	skip := treediff.Ignore{DirSize: true, DirNlink: true, Nlink: true}
	for _, e := range want.Entries {
		if e.Mode&unix.S_IFMT == unix.S_IFDIR || e.Mode&unix.S_IFMT == unix.S_IFLNK {
			skip.MtimeOf = append(skip.MtimeOf, e.Path)
		}
	}
	ds := slices.DeleteFunc(treediff.Compare(want, got, skip), func(d treediff.Difference) bool {
		// A file that two items replace one after the other is parted from its names by the calls.
		return d.Field == "group" && model.items > 1
	})
	if len(ds) > 0 {
		t.Fatalf("%+v, ignoring %q:\n%s", c, ignore, treediff.Format(ds, 10))
	}
	return true
}

// layered makes the tree in the directory to of a layer that is the one in lower, and of one of entries.
func layered(t *testing.T, temp, lower, to string, entries iter.Seq2[cow.Entry, error]) {
	empty := filepath.Join(temp, "empty")
	must(t, os.MkdirAll(empty, 0o755))
	nothing, err := cow.OpenTree(empty)
	must(t, err)
	defer nothing.Close()
	var layers []cow.Layer
	for i, seq := range []iter.Seq2[cow.Entry, error]{cow.Compare(nothing, lower), entries} {
		var b bytes.Buffer
		_, err := layerpack.WriteLayer(context.Background(), &b, seq, layerpack.WriteOptions{})
		must(t, err)
		l := cow.Layer{Dir: filepath.Join(temp, fmt.Sprintf("layer%d", i))}
		must(t, os.MkdirAll(l.Dir, 0o755))
		p, err := layerpack.Pack(context.Background(), &b, l.Dir, layerpack.PackOptions{})
		must(t, err)
		l.DiffID = p.DiffID
		layers = append(layers, l)
	}
	must(t, os.MkdirAll(to, 0o755))
	_, err = layerpack.ExtractAll(context.Background(), layers, to, layerpack.ExtractOptions{Dialect: whiteout.Plain})
	must(t, err)
}

package layerpack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/whiteout"
)

// chainMaker makes chains that try everything at once in a small name space,
// so that names collide, links loop and directories change places.
type chainMaker struct{ *rand.Rand }

func (r chainMaker) pick(of ...string) string { return of[r.IntN(len(of))] }

func (r chainMaker) path(narrow bool) string {
	if narrow {
		return r.pick("a", "a/b", "a/b", "a/b/c", "d", "d/b", "l/b", "l", "l/b/c")
	}
	n := 1 + r.IntN(4)
	var parts []string
	for range n {
		parts = append(parts, r.pick("a", "b", "c", "lib", "l", "m", "!x"))
	}
	p := strings.Join(parts, "/")
	switch r.IntN(20) {
	case 0:
		p = "/" + p
	case 1:
		p = "./" + p
	case 2:
		p = "a/../" + p
	case 3:
		p = "a//b/./" + p
	case 4:
		p = r.pick("../", "a/../../", "/../", "c/") + p
	}
	return p
}

func (r chainMaker) entry(narrow bool) tar.Header {
	p := r.path(narrow)
	var h tar.Header
	most := 20
	if narrow {
		most = 26
	}
	switch k := r.IntN(most); {
	case k >= 22:
		return hard(p, r.path(narrow))
	case k >= 20:
		return file(r.pick("a", "d", "l")+"/.wh..wh..opq", "")
	case k < 6:
		h = file(p, fmt.Sprint("data ", r.IntN(1000), strings.Repeat("z", r.IntN(3)*700)))
	case k < 10:
		h = dir(p + "/")
	case k < 13:
		h = link(p, r.pick("a", "b", "/a", "/lib", "..", "../..", "../../../c", "c/m", "/", ".", "l", "/nowhere/x", "../b/../l"))
	case k < 15:
		return hard(p, r.path(narrow))
	case k < 16:
		h = node0(p, tar.TypeFifo, 0, 0)
	case k < 18:
		d, b := filepath.Split(p)
		return file(d+".wh."+b, "")
	case k < 19:
		return file(p+"/.wh..wh..opq", "")
	default:
		return r.odd(p)
	}
	h.Uid, h.Gid = r.IntN(3)*1000, r.IntN(3)*1000
	h.ModTime = when.AddDate(0, 0, -r.IntN(1000))
	if r.IntN(4) == 0 && h.Typeflag != tar.TypeSymlink && h.Typeflag != tar.TypeFifo {
		h.PAXRecords = map[string]string{"SCHILY.xattr.user." + r.pick("k", "kk"): r.pick("v", "w\x00x", strings.Repeat("y", 300))}
	}
	return h
}

func (r chainMaker) odd(p string) tar.Header {
	switch r.IntN(6) {
	case 0:
		return dir("./")
	case 1:
		return file(".wh..wh..opq", "")
	case 2:
		return file(".wh..wh.plnk", "")
	case 3:
		return file(p+r.pick("/.wh.", "/.wh..", "/.wh..."), "")
	case 4:
		return link("./", "x")
	}
	return dir(p + "/../")
}

// chain makes the layers of one chain, and the image as it is below the first
// and after each. What the model refuses is mostly left out; if it stays, wrong
// is true.
func (r chainMaker) chain() (tars [][]tar.Header, states []*model, wrong bool) {
	return r.chainOf(false)
}

// narrowChain makes one of few names and many layers, which undo each other's
// work.
func (r chainMaker) narrowChain() (tars [][]tar.Header, states []*model, wrong bool) {
	return r.chainOf(true)
}

func (r chainMaker) chainOf(narrow bool) (tars [][]tar.Header, states []*model, wrong bool) {
	layers, entries := 1+r.IntN(5), 14
	if narrow {
		layers, entries = 2+r.IntN(8), 4
	}
	states = append(states, newModel())
	for i := range layers {
		var layer []tar.Header
		for range 1 + r.IntN(entries) {
			layer = append(layer, r.entry(narrow))
		}
		for {
			next := states[i].clone()
			bad, err := next.apply(layer)
			if err == nil {
				states = append(states, next)
				break
			}
			if r.IntN(40) == 0 {
				return append(tars, layer), nil, true
			}
			layer = append(layer[:bad:bad], layer[bad+1:]...)
		}
		tars = append(tars, layer)
	}
	return tars, states, false
}

// situations are the hard cases that a chain has, for the test to know that it
// meets them.
func situations(tars [][]tar.Header, states []*model) map[string]bool {
	found := make(map[string]bool)
	kinds := make(map[string]string) // of each path, layer by layer; - where it is not
	opaque := make(map[string]int)
	for i, layer := range tars {
		below, above := states[i].fs, states[i+1].fs
		for _, h := range layer {
			p, _ := clean(h.Name)
			dir, base := path.Split(p)
			dir = strings.TrimSuffix(dir, "/")
			for at := dir; at != "" && at != "."; at = path.Dir(at) {
				if n := below[at]; n != nil && n.kind == tar.TypeSymlink {
					found["symlinked parent"] = true
				}
			}
			switch {
			case base == whiteout.OpaqueName:
				if opaque[dir]++; opaque[dir] > 1 {
					found["opaque twice"] = true
				}
			case strings.HasPrefix(base, whiteout.Prefix) && !strings.HasPrefix(base, whiteout.MetaPrefix):
				if n := below[join(dir, base[len(whiteout.Prefix):])]; n != nil && n.kind == tar.TypeDir {
					found["whiteout of a directory"] = true
				}
			}
		}
		names := func(fs map[string]*mnode) map[int]int {
			count := make(map[int]int)
			for _, n := range fs {
				if n.kind != tar.TypeDir {
					count[n.id]++
				}
			}
			return count
		}
		left := names(above)
		for id, n := range names(below) {
			if n > 1 && left[id] > 0 && left[id] < n {
				found["hard link that outlives a name"] = true
			}
		}
		for p, n := range below {
			if now := above[p]; now != nil && now.kind != n.kind {
				found["type change"] = true
			}
		}
		for p, n := range above {
			kinds[p] += string(rune(n.kind))
		}
		for p := range kinds {
			if above[p] == nil {
				kinds[p] += "-"
			}
		}
	}
	for _, k := range kinds {
		if turn.MatchString(k) {
			found["directory, file and directory again"] = true
		}
	}
	return found
}

var turn = regexp.MustCompile(fmt.Sprintf("%c.*%c.*%c", tar.TypeDir, tar.TypeReg, tar.TypeDir))

// TestMergeIsTheModel compares the index with a naive reading of the rules,
// and, where the machine allows it, with what the kernel makes of the index
// and of the extracted trees.
func TestMergeIsTheModel(t *testing.T) {
	const seeds = 480
	refused := 0
	met := make(map[string]int)
	for seed := range uint64(seeds) {
		r := chainMaker{rand.New(rand.NewPCG(seed, 7))}
		chain := r.chain
		if seed%16 >= 8 {
			chain = r.narrowChain
		}
		tars, states, wrong := chain()
		if !wrong {
			for s := range situations(tars, states) {
				met[s]++
			}
		}
		ok := t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			var layers []cow.Layer
			base := t.TempDir()
			path := filepath.Join(base, "index")
			var err error
			for i, hs := range tars {
				var p Packed
				d := filepath.Join(base, fmt.Sprint(i))
				os.Mkdir(d, 0o755)
				p, err = Pack(context.Background(), strings.NewReader(string(tarOf(t, hs...))), d, PackOptions{})
				if err != nil {
					break
				}
				layers = append(layers, cow.Layer{DiffID: p.DiffID, Dir: d})
			}
			if err == nil {
				err = BuildIndex(context.Background(), path, layers)
			}
			if wrong {
				if !errors.Is(err, ErrInvalid) {
					t.Fatalf("got %v for a chain that must be refused", err)
				}
				refused++
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			x, err := OpenIndex(path)
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			got := indexView(t, x, layers)
			diff(t, "the index against the model", states[len(states)-1].view(func() []string { return order(t, x) }), got)
			if seed%8 == 0 && os.Getuid() == 0 {
				at := mountEROFS(t, path, layers)
				diff(t, "the kernel's tree against the index", without(got, dropLayer), hostView(t, at))
			}
			if seed%4 == 1 && os.Getuid() == 0 {
				at := mountOverlay(t, layers, whiteout.Trusted)
				diff(t, "the overlay of the trees against the index", without(got, dropLinks), without(hostView(t, at), dropLinks))
			}
			if seed%2 == 1 && os.Getuid() == 0 {
				want := without(without(got, dropLayer), dropDirLinks)
				whole, grown := t.TempDir(), t.TempDir()
				if _, err := ExtractAll(t.Context(), layers, whole, ExtractOptions{Dialect: whiteout.Plain}); err != nil {
					t.Fatal(err)
				}
				diff(t, "the whole tree against the index", want, without(hostView(t, whole), dropDirLinks))
				for i, l := range layers {
					if _, err := Apply(t.Context(), l, grown, ExtractOptions{Below: layers[:i], Dialect: whiteout.Plain}); err != nil {
						t.Fatal(err)
					}
				}
				diff(t, "the tree that layers were applied to against the index", want, without(hostView(t, grown), dropDirLinks))
			}
		})
		if !ok {
			for i, hs := range tars {
				for _, h := range hs {
					t.Logf("layer %d: %c %q -> %q", i, h.Typeflag, h.Name, h.Linkname)
				}
			}
			return
		}
	}
	if refused < seeds/20 {
		t.Errorf("only %d of %d chains were to be refused", refused, seeds)
	}
	for _, s := range []string{"whiteout of a directory", "directory, file and directory again", "opaque twice", "hard link that outlives a name", "type change", "symlinked parent"} {
		if met[s] < seeds/40 {
			t.Errorf("only %d of %d chains have a %s", met[s], seeds, s)
		}
	}
}

func order(t testing.TB, x *Index) (all []string) {
	if err := x.Walk(func(p []byte, _ *Dirent, _ *Attr) error { all = append(all, string(p)); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// dropLinks leaves out what an overlay of trees doesn't keep: hard links
// across layers, and the link counts of directories.
func dropLinks(_ string, v *view) { v.LayerKnown, v.Nlink, v.SameInode = 0, 0, "" }

// mountOverlay extracts each layer and stacks the trees, read-only.
func mountOverlay(t testing.TB, layers []cow.Layer, d whiteout.Dialect) string {
	t.Helper()
	base, err := os.MkdirTemp("", "trees")
	if err != nil {
		t.Skipf("NOT RUN: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	lower := ""
	for i, l := range layers {
		tree := filepath.Join(base, fmt.Sprint(i))
		os.Mkdir(tree, 0o755)
		if _, err := Extract(context.Background(), l, tree, ExtractOptions{Below: layers[:i], Dialect: d}); err != nil {
			t.Fatal(err)
		}
		lower = ":" + tree + lower
	}
	lower = lower[1:]
	if len(layers) == 1 {
		return lower
	}
	at := filepath.Join(base, "at")
	os.Mkdir(at, 0o755)
	o := "lowerdir=" + lower
	if d == whiteout.User {
		o += ",userxattr"
	}
	if err := unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, o); err != nil {
		t.Fatalf("mount overlay: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return at
}

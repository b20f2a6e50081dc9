package imagegen

import (
	"archive/tar"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/treediff"
)

// Chain makes n layers, bottom first, that together use every rule of the
// specification: each of the fixed scenarios, spread over the layers, and below
// "mix" a random part in which they meet. What they must come to is what
// [Expect] says.
func Chain(seed uint64, n int) []Layer {
	r := rand.New(rand.NewPCG(seed, 60))
	layers := make([]Layer, n)
	layers[0] = Layer{Dir("."), Dir("s"), Dir("mix"), Dir("etc", Time(1, 2)), File("etc/passwd", "root:x:0:0::/:/bin/sh\n")}
	for _, s := range scenarios {
		steps := s.steps("s/" + s.name)
		for i, at := range places(r, len(steps), n) {
			layers[at] = append(layers[at], steps[i]...)
		}
	}
	g := &mixer{r: r, m: NewModel()}
	for i := range layers {
		if err := g.m.Apply(layers[i]); err != nil {
			panic(fmt.Sprintf("layer %d: %v", i, err)) // the scenarios are constants: a fault of this package
		}
		layers[i] = append(layers[i], g.layer(i)...)
	}
	return layers
}

// Expect is the tree that the layers come to, and the paths whose times
// nothing says.
func Expect(layers []Layer) (*treediff.Record, []string, error) {
	m := NewModel()
	for i, l := range layers {
		if err := m.Apply(l); err != nil {
			return nil, nil, fmt.Errorf("layer %d: %w", i, err)
		}
	}
	return m.Record(), m.Implied(), nil
}

// places spreads steps over n layers, in order, no two in one layer if there
// is room.
func places(r *rand.Rand, steps, n int) []int {
	at := make([]int, steps)
	if steps > n { // a short chain: several steps would meet in one layer
		panic(fmt.Sprintf("imagegen: a chain needs at least %d layers", steps))
	}
	perm := r.Perm(n)[:steps]
	slices.Sort(perm)
	copy(at, perm)
	return at
}

// A mixer makes the random part of a layer, with the model of everything below
// at hand.
type mixer struct {
	r       *rand.Rand
	m       *Model
	serial  int
	layerNo int
	pinned  map[string]bool // directories that a marker of this layer needs as they are
}

type named struct {
	path string
	n    *node
}

// paths is everything below mix, in order.
func (g *mixer) paths() (dirs, others []named) {
	var visit func(n *node, path string)
	visit = func(n *node, path string) {
		if !n.isDir() {
			others = append(others, named{path, n})
			return
		}
		dirs = append(dirs, named{path, n})
		for _, name := range slices.Sorted(maps.Keys(n.kids)) {
			visit(n.kids[name], path+"/"+name)
		}
	}
	visit(g.m.root.kids["mix"], "mix")
	return dirs, others
}

func (g *mixer) layer(no int) Layer {
	g.layerNo, g.pinned = no, map[string]bool{}
	markers := g.markers()
	if err := g.m.Apply(markers); err != nil {
		panic(err)
	}
	var entries Layer
	for range 20 + g.r.IntN(30) {
		e, ok := g.entry()
		if !ok {
			continue
		}
		if err := g.m.put(e); err != nil {
			panic(fmt.Sprintf("layer %d: %v", no, err))
		}
		entries = append(entries, e)
	}
	for _, m := range markers { // anywhere among the entries: they speak of lower layers only
		entries = slices.Insert(entries, g.r.IntN(len(entries)+1), m)
	}
	return entries
}

// markers chooses what this layer deletes.
func (g *mixer) markers() Layer {
	var l Layer
	gone := map[string]bool{}
	within := func(path string) bool {
		for p := range gone {
			if strings.HasPrefix(path, p+"/") || path == p || strings.HasPrefix(p, path+"/") {
				return true
			}
		}
		return false
	}
	dirs, others := g.paths()
	for range g.r.IntN(5) {
		all := append(slices.Clone(others), dirs[1:]...)
		if len(all) == 0 {
			break
		}
		p := all[g.r.IntN(len(all))].path
		if within(p) || len(dirs) < 5 && g.r.IntN(3) > 0 {
			continue
		}
		dir, name := cut(p)
		if strings.HasPrefix(name, ".wh.") || len(name) > 251 {
			continue
		}
		gone[p] = true
		g.pin(dir)
		l = append(l, Whiteout(dir, name))
	}
	for range g.r.IntN(3) {
		p := dirs[g.r.IntN(len(dirs))].path
		if p == "mix" || within(p) {
			continue
		}
		gone[p] = true // its inside is, and no marker may stand there any more
		g.pin(p)
		for range 1 + g.r.IntN(2) {
			l = append(l, Opaque(p))
		}
	}
	return l
}

// pin keeps a directory and those above it directories for this layer.
func (g *mixer) pin(path string) {
	for path != "" {
		g.pinned[path] = true
		path, _ = cut(path)
	}
}

func cut(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// entry chooses one entry; false where the dice ask for something that the
// specification leaves open.
func (g *mixer) entry() (Entry, bool) {
	dirs, others := g.paths()
	path := g.place(dirs, others)
	opts := g.options()
	switch k := g.r.IntN(20); {
	case k < 3 && len(dirs) > 1: // describe a directory anew
		return Dir(dirs[1+g.r.IntN(len(dirs)-1)].path, append(opts, g.xattrs(unix.S_IFDIR)...)...), true
	case k < 6:
		return Dir(path, append(opts, g.xattrs(unix.S_IFDIR)...)...), true
	case g.taken(path):
		return Entry{}, false
	case k < 9 && len(others) > 0:
		to := others[g.r.IntN(len(others))]
		if to.path == path {
			return Entry{}, false
		}
		h := to.n.entry.Header
		return Link(path, to.path, Mode(h.Mode), Owner(h.Uid, h.Gid), Time(h.ModTime.Unix(), int64(h.ModTime.Nanosecond()))), true
	case k < 12:
		return Symlink(path, g.target(dirs, others), append(opts, g.xattrs(unix.S_IFLNK)...)...), true
	case k < 13:
		return Fifo(path, opts...), true
	case k < 14:
		return Device(path, []byte{tar.TypeChar, tar.TypeBlock}[g.r.IntN(2)], int64(1+g.r.IntN(500)), int64(1+g.r.IntN(1<<19)), opts...), true
	}
	sizes := []int{0, 0, 1, 100, 511, 512, 513, 4096, 5000, 20000}
	return File(path, noise(g.r.Uint64(), sizes[g.r.IntN(len(sizes))]), append(opts, g.xattrs(unix.S_IFREG)...)...), true
}

// taken tells whether something other than a directory may not come to path.
func (g *mixer) taken(path string) bool {
	parts, name, err := split(path)
	if err != nil {
		return true
	}
	parent, err := g.m.dir(parts, false)
	if err != nil {
		return true
	}
	if parent == nil || parent.kids[name] == nil {
		return false
	}
	n := parent.kids[name]
	dirs, _ := g.paths()
	for _, d := range dirs {
		if g.pinned[d.path] && d.n == n {
			return true
		}
	}
	return false
}

// place is a path for an entry: a new name or one that is there, in a directory
// named plainly, through a symlink, or not there yet.
func (g *mixer) place(dirs, others []named) string {
	dir := dirs[g.r.IntN(len(dirs))].path
	switch k := g.r.IntN(10); {
	case k == 0:
		for _, o := range others {
			if o.n.mode&unix.S_IFMT != unix.S_IFLNK || g.r.IntN(4) > 0 {
				continue
			}
			parts, _, _ := split(o.path + "/x")
			if d, err := g.m.dir(parts, false); err == nil && d != nil && d != g.m.root {
				dir = o.path
				break
			}
		}
	case k == 1:
		dir += "/" + g.fresh() + "/" + g.fresh()
	case k == 2:
		dir = []string{"/", "./", "//"}[g.r.IntN(3)] + dir
	case k < 6 && len(others) > 0:
		return others[g.r.IntN(len(others))].path
	}
	return dir + "/" + g.fresh()
}

func (g *mixer) fresh() string {
	g.serial++
	if g.r.IntN(8) == 0 {
		o := odd()
		n := fmt.Sprintf("%d%s", g.serial, o[g.r.IntN(len(o))])
		return n[:min(len(n), 255)]
	}
	return fmt.Sprintf("%c%d-%d", 'a'+rune(g.r.IntN(26)), g.serial, g.layerNo)
}

func (g *mixer) target(dirs, others []named) string {
	d := dirs[g.r.IntN(len(dirs))].path
	switch g.r.IntN(5) {
	case 0:
		return "/" + d
	case 1:
		return strings.Repeat("../", 12) + d
	case 2:
		if len(others) > 0 {
			return "/" + others[g.r.IntN(len(others))].path
		}
	case 3:
		return "../" + d
	}
	return "/mix/nowhere-\xfe"
}

func (g *mixer) options() []Option {
	var o []Option
	if g.r.IntN(2) == 0 {
		o = append(o, Time(g.r.Int64N(4e9)-2e9, g.r.Int64N(1e9)))
	}
	if g.r.IntN(3) == 0 {
		o = append(o, Owner(g.r.IntN(70000), g.r.IntN(70000)))
	}
	if g.r.IntN(4) == 0 {
		o = append(o, Mode(g.r.Int64N(0o10000)))
	}
	return o
}

// xattrs chooses attributes that a file of this type can have on a real
// filesystem (xattr(7)).
func (g *mixer) xattrs(typ uint32) []Option {
	if g.r.IntN(5) > 0 {
		return nil
	}
	o := []Option{Xattr("trusted.mix", fmt.Sprint(g.r.Uint32()))}
	if typ != unix.S_IFLNK {
		o = append(o, Xattr("user.mix", strings.Repeat("v", g.r.IntN(300))))
	}
	if typ == unix.S_IFREG {
		o = append(o, Xattr("security.capability", capability))
	}
	return o
}

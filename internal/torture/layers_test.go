package torture

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/treediff"
	"github.com/cfs-project/cfs/layerpack"
)

// ancient is the end of the times that are set and that no clock gives, in
// seconds since the epoch.
const ancient = 1 << 30

// union is a test's union: its layers, its upper and what it must look like.
type union struct {
	t     testing.TB
	dir   string   // the ground
	plain string   // a plain directory, at first equal to the merged layers
	dirs  []string // the layers as overlayfs's lowerdir wants them, topmost first
	spec  spec
	lower []*treediff.Record // of what must not change
	what  []string           // directories of lower
}

// newUnion makes layers layers of about n objects each, on a ground of its own.
func newUnion(t testing.TB, kind, fstype string, r *rand.Rand, layers, n int) *union {
	t.Helper()
	u := &union{t: t, dir: ground(t, fstype, 2048)}
	u.plain = u.dir + "/plain"
	mkdirs(t, u.plain)
	b := &builder{t: t, r: r, plain: u.plain, packed: kind == "packed"}
	var made []string // bottom first
	for i := range layers {
		dir := fmt.Sprintf("%s/layer%d", u.dir, i)
		mkdirs(t, dir)
		b.build(dir, n, i > 0)
		made = append(made, dir)
	}
	u.lowers(kind, made)
	return u
}

// lowers says what the union is made of, bottom first, and gives it an upper.
func (u *union) lowers(kind string, made []string) {
	u.t.Helper()
	t := u.t
	u.spec = spec{Upper: u.dir + "/upper", Work: u.dir + "/work", Target: u.dir + "/mnt"}
	mkdirs(t, u.spec.Upper, u.spec.Work, u.spec.Target)
	if kind == "packed" {
		// The kernel's overlayfs gets the merged layers as one.
		base := u.dir + "/base"
		run(t, "cp", "-a", u.plain, base)
		chain := pack(t, u.dir+"/packed", made...)
		u.spec.Chain, u.dirs = &chain, []string{base}
		u.what = []string{u.dir + "/packed", base}
	} else {
		for _, d := range made {
			u.dirs = append([]string{d}, u.dirs...)
		}
		u.spec.Dirs, u.what = u.dirs, u.dirs
	}
	for _, d := range u.what {
		u.lower = append(u.lower, record(t, d))
	}
}

// untouched compares the layers with what they were, times and all.
func (u *union) untouched() {
	u.t.Helper()
	for i, d := range u.what {
		if ds := treediff.Compare(u.lower[i], record(u.t, d), treediff.Ignore{}); len(ds) > 0 {
			u.t.Errorf("a lower has changed: %s\n%s", d, treediff.Format(ds, 20))
		}
	}
}

func record(t testing.TB, dir string) *treediff.Record {
	t.Helper()
	r, err := treediff.Walk(dir, treediff.Options{})
	must(t, err)
	return r
}

// pack makes packed layers of directories, bottom first.
func pack(t testing.TB, work string, dirs ...string) cow.Chain {
	t.Helper()
	var tars [][]byte
	for _, dir := range dirs {
		tar, err := exec.Command("tar", "--sparse", "--xattrs", "--xattrs-include=*", "--format=pax", "-cf", "-", "-C", dir, ".").Output()
		must(t, err)
		tars = append(tars, tar)
	}
	return packTars(t, work, tars...)
}

func packTars(t testing.TB, work string, tars ...[]byte) cow.Chain {
	t.Helper()
	mkdirs(t, work)
	chain := cow.Chain{Index: filepath.Join(work, "index")}
	for i, tar := range tars {
		dst := filepath.Join(work, fmt.Sprint("layer", i))
		mkdirs(t, dst)
		p, err := layerpack.Pack(context.Background(), bytes.NewReader(tar), dst, layerpack.PackOptions{})
		must(t, err)
		chain.Layers = append(chain.Layers, cow.Layer{DiffID: p.DiffID, Dir: dst})
	}
	must(t, layerpack.BuildIndex(context.Background(), chain.Index, chain.Layers))
	return chain
}

// builder makes layers and, beside them, the tree that they merge to.
type builder struct {
	t      testing.TB
	r      *rand.Rand
	plain  string
	packed bool // whiteouts as in a layer's tar, not as in overlayfs
	layer  string
	gone   map[string]bool // removed by this layer
}

// build fills a layer with n objects; over other ones it also removes.
func (b *builder) build(layer string, n int, over bool) {
	b.layer, b.gone = layer, map[string]bool{}
	for i := range n {
		rel := somePath(b.plain, b.r)
		if i < 6 {
			rel = randomName(b.r)
		}
		if st, err := os.Lstat(filepath.Join(b.plain, filepath.Dir(rel))); err != nil || !st.IsDir() {
			continue
		}
		b.parents(rel)
		switch k := b.r.IntN(20); {
		case over && k < 3:
			b.remove(rel)
		case k < 8:
			b.mkdir(rel)
		default:
			b.file(rel, i)
		}
	}
	b.times()
}

// do does the same in the layer and in the merged tree.
func (b *builder) do(rel string, fn func(p string) error) {
	b.t.Helper()
	must(b.t, fn(filepath.Join(b.layer, rel)))
	must(b.t, fn(filepath.Join(b.plain, rel)))
}

// parents makes the layer have the directories above rel, as they are.
func (b *builder) parents(rel string) {
	dir := filepath.Dir(rel)
	if dir == "." {
		return
	}
	b.parents(dir)
	p := filepath.Join(b.layer, dir)
	if _, err := os.Lstat(p); err == nil {
		return
	}
	var st unix.Stat_t
	must(b.t, unix.Lstat(filepath.Join(b.plain, dir), &st))
	must(b.t, os.Mkdir(p, 0o755))
	must(b.t, os.Lchown(p, int(st.Uid), int(st.Gid)))
	must(b.t, unix.Chmod(p, st.Mode&0o7777))
}

// clear takes what is at rel away and tells whether there was something.
func (b *builder) clear(rel string) bool {
	_, err := os.Lstat(filepath.Join(b.plain, rel))
	b.do(rel, os.RemoveAll)
	_ = os.Remove(filepath.Join(b.layer, filepath.Dir(rel), ".wh."+filepath.Base(rel)))
	return err == nil || b.gone[rel]
}

func (b *builder) remove(rel string) {
	if !b.clear(rel) {
		return
	}
	b.gone[rel] = true
	p := filepath.Join(b.layer, rel)
	if b.packed {
		must(b.t, os.WriteFile(filepath.Join(filepath.Dir(p), ".wh."+filepath.Base(p)), nil, 0o600))
		return
	}
	must(b.t, unix.Mknod(p, unix.S_IFCHR, 0))
}

func (b *builder) mkdir(rel string) {
	if st, err := os.Lstat(filepath.Join(b.plain, rel)); err == nil && st.IsDir() && b.r.IntN(4) > 0 {
		b.parents(rel + "/x") // merged
		mode := []uint32{0o755, 0o1777, 0o700}[b.r.IntN(3)]
		b.do(rel, func(p string) error { return unix.Chmod(p, mode) })
		return
	}
	over := b.clear(rel)
	b.do(rel, func(p string) error { return os.Mkdir(p, 0o755) })
	if !over {
		return
	}
	p := filepath.Join(b.layer, rel)
	if b.packed {
		must(b.t, os.WriteFile(filepath.Join(p, ".wh..wh..opq"), nil, 0o600))
		return
	}
	must(b.t, unix.Lsetxattr(p, "trusted.overlay.opaque", []byte("y"), 0))
}

func (b *builder) file(rel string, i int) {
	b.clear(rel)
	r := b.r
	switch r.IntN(12) {
	case 0:
		b.do(rel, func(p string) error { return os.Symlink(fmt.Sprint("target", i), p) })
		return
	case 1:
		b.do(rel, func(p string) error { return unix.Mkfifo(p, 0o640) })
		return
	case 2:
		b.do(rel, func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o660, int(unix.Mkdev(1, 3))) })
		return
	case 3, 4:
		data, size := pattern(r), int64(1<<20+r.IntN(1<<20))
		offs := []int64{0, r.Int64N(size), r.Int64N(size), r.Int64N(size)}
		b.do(rel, func(p string) error {
			f, err := os.OpenFile(p, os.O_CREATE|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			for _, off := range offs {
				if _, err := f.WriteAt(data, off); err != nil {
					return err
				}
			}
			if err := f.Truncate(size); err != nil {
				return err
			}
			return f.Close()
		})
	default:
		data := pattern(r)
		b.do(rel, func(p string) error { return os.WriteFile(p, data, 0o644) })
	}
	b.do(rel, func(p string) error { return unix.Lsetxattr(p, "user.seed", []byte{byte(i)}, 0) })
	if r.IntN(3) == 0 {
		uid, gid := r.IntN(3000), r.IntN(3000)
		b.do(rel, func(p string) error { return os.Lchown(p, uid, gid) })
	}
	if r.IntN(3) == 0 {
		b.link(rel)
	}
}

// link gives a file of this layer a second name.
func (b *builder) link(rel string) {
	q := filepath.Join(filepath.Dir(somePath(b.plain, b.r)), randomName(b.r))
	if st, err := os.Lstat(filepath.Join(b.plain, filepath.Dir(q))); err != nil || !st.IsDir() || q == rel {
		return
	}
	if _, err := os.Lstat(filepath.Join(b.plain, q)); err == nil || b.gone[q] {
		return
	}
	b.parents(q)
	must(b.t, os.Link(filepath.Join(b.layer, rel), filepath.Join(b.layer, q)))
	must(b.t, os.Link(filepath.Join(b.plain, rel), filepath.Join(b.plain, q)))
}

// times gives everything that the layer has an ancient time, deepest first.
func (b *builder) times() {
	var rels []string
	must(b.t, filepath.WalkDir(b.layer, func(p string, _ fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(b.layer, p)
		rels = append(rels, rel)
		return err
	}))
	for i := len(rels) - 1; i >= 0; i-- {
		rel := rels[i]
		if b.gone[rel] || strings.HasPrefix(filepath.Base(rel), ".wh.") {
			if _, err := os.Lstat(filepath.Join(b.plain, rel)); err != nil {
				continue
			}
		}
		tm := randomTime(b.r)
		b.do(rel, func(p string) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{tm, tm}, unix.AT_SYMLINK_NOFOLLOW)
		})
	}
}

func randomTime(r *rand.Rand) unix.Timespec {
	return unix.Timespec{Sec: 1 + int64(r.IntN(ancient-1)), Nsec: int64(r.IntN(1e9))}
}

func randomName(r *rand.Rand) string { return string(rune('a' + r.IntN(9))) }

func pattern(r *rand.Rand) []byte {
	b := make([]byte, 1+r.IntN(20000))
	for i := 0; i < len(b); i += 8 {
		v := r.Uint64()
		for j := i; j < min(i+8, len(b)); j++ {
			b[j] = byte(v)
			v >>= 8
		}
	}
	return b
}

// somePath draws a path, mostly one that exists below root.
func somePath(root string, r *rand.Rand) string {
	if r.IntN(10) < 1 {
		parts := make([]string, 1+r.IntN(4))
		for i := range parts {
			parts[i] = randomName(r)
		}
		return strings.Join(parts, "/")
	}
	var all []string
	_ = filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(root, p); err == nil && rel != "." {
			all = append(all, rel)
		}
		return nil
	})
	if len(all) == 0 {
		return randomName(r)
	}
	p := all[r.IntN(len(all))]
	if r.IntN(3) == 0 {
		p = filepath.Join(p, randomName(r))
	}
	return p
}

package bench

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cfs-project/cfs/cow"
)

// Sizes are how much there is of everything in the fixtures.
type Sizes struct {
	Mids   int   // files of 1 MiB beside the large ones
	Tree   int   // files of the tree of five layers
	Many   int   // small files: in one lower directory, and in the archive
	Big    int64 // bytes of a large file
	Bigs   int   // large files with data
	Sparse int   // large files with next to none, for what never reads data
	Dir    int   // files of the directory that is moved
	Flat   int   // files of the shallow and the deep stack
	Walk   int   // files of the walk after which the server's memory is read
	Random int   // random reads or writes
}

// DefaultSizes are those of the targets.
var DefaultSizes = Sizes{Tree: 22600, Many: 20000, Big: 1 << 30, Bigs: 2, Sparse: 16, Dir: 5000, Flat: 10000, Walk: 50000, Random: 16384}

// Fixtures makes lowers on the ground, each when first asked for, always the same.
type Fixtures struct {
	Sizes
	// Packed has each fixture be there as packed layers and as one tree, too.
	Packed bool
	dir    string
	made   map[string]Fixture
	on     *device // found when first asked for
}

// A Fixture is a stack of lowers, and the names they come to.
type Fixture struct {
	Name   string
	Lowers []string // top first
	Paths  Paths
	Chain  cow.Chain // the same, packed; see [Fixtures.Packed]
	Merged string    // the same as one tree; see [Fixtures.Packed]
}

// NewFixtures has them below dir.
func NewFixtures(dir string, s Sizes) *Fixtures {
	return &Fixtures{Sizes: s, dir: dir, made: map[string]Fixture{}}
}

// The fixtures, by the name that a [Row] asks for.
const (
	FixtureTree  = "tree"
	FixtureMany  = "many"
	FixtureBig   = "big"
	FixtureDir   = "dir"
	FixtureFlat  = "flat"  // one layer
	FixtureDeep  = "deep"  // the same in many: see [Deep]
	FixtureWalk  = "walk"  // many directories
	FixtureEmpty = "empty" // for what is only in the upper

	FixtureGit      = "git"      // a checked-out repository
	FixtureSource   = "source"   // a program in C
	FixturePackages = "packages" // a root without a package, for dpkg
)

// device is the disk that they are on.
func (f *Fixtures) device() device {
	if f.on == nil {
		d := deviceOf(f.dir)
		f.on = &d
	}
	return *f.on
}

// Put has Get give x, instead of what would be made.
func (f *Fixtures) Put(x Fixture) { f.made[x.Name] = x }

// Deep is the name of the fixture of as many files as [FixtureFlat] has, dealt out
// in so many layers.
func Deep(layers int) string { return fmt.Sprintf("%s%d", FixtureDeep, layers) }

// Get makes a fixture, unless it is made already.
func (f *Fixtures) Get(ctx context.Context, name string) (Fixture, error) {
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return Fixture{}, err
	}
	if x, ok := f.made[name]; ok {
		return x, nil
	}
	x, err := f.make(name)
	if err == nil && f.Packed {
		err = f.pack(ctx, &x)
	}
	if err != nil {
		return x, fmt.Errorf("make fixture %s: %w", name, err)
	}
	if err := writeOut(f.dir); err != nil {
		return x, err
	}
	f.made[name] = x
	return x, nil
}

// make writes the lowers.
func (f *Fixtures) make(name string) (Fixture, error) {
	x := Fixture{Name: name}
	w := &fixtureWriter{rnd: rand.New(rand.NewPCG(1, uint64(len(name))))}
	layer := func(i int) string { return filepath.Join(f.dir, x.Name, fmt.Sprint(i)) }
	layers := 1
	if n, err := strconv.Atoi(strings.TrimPrefix(name, FixtureDeep)); err == nil && n > 0 {
		layers, name = n, FixtureDeep
	}
	switch name {
	case FixtureTree:
		layers = 5
		w.tree(layer, layers, f.Tree)
	case FixtureMany:
		for i := range f.Many {
			w.file(filepath.Join(layer(0), manyDir, fmt.Sprintf("file%05d", i)), 512)
		}
	case FixtureBig:
		for i := range f.Bigs {
			w.file(filepath.Join(layer(0), bigName(i)), f.Big)
		}
		for i := range f.Sparse {
			p := filepath.Join(layer(0), sparseName(i))
			w.file(p, 64<<10)
			w.err = errors.Join(w.err, os.Truncate(p, f.Big))
		}
		for i := range f.smalls() {
			w.file(filepath.Join(layer(0), smallName(i)), smallSize)
		}
		for i := range f.Mids {
			w.file(filepath.Join(layer(0), midName(i)), midSize)
		}
	case FixtureDir:
		for i := range f.Dir {
			w.file(filepath.Join(layer(0), movedDir, fmt.Sprintf("d%03d/file%05d", i/100, i)), 1024)
		}
	case FixtureFlat, FixtureDeep:
		for i := range f.Flat {
			w.file(filepath.Join(layer(i%layers), flatDir, fmt.Sprintf("file%05d", i)), 16)
		}
	case FixtureWalk:
		for i := range f.Walk {
			w.file(filepath.Join(layer(0), fmt.Sprintf("w%02d/d%03d/file%05d", i/5000, i/100, i)), 128)
		}
	case FixtureEmpty:
		w.err = os.MkdirAll(layer(0), 0o755)
	case FixtureGit, FixtureSource, FixturePackages:
		w.err = f.application(name, layer(0))
	default:
		return x, fmt.Errorf("no fixture %q", name)
	}
	for i := range layers {
		x.Lowers = append(x.Lowers, layer(i))
		w.err = errors.Join(w.err, os.MkdirAll(layer(i), 0o755))
	}
	return x, w.err
}

// Archive makes the tar of small files, a hundred a directory, and gives its path.
func (f *Fixtures) Archive() (_ string, err error) {
	path := filepath.Join(f.dir, "many.tar")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	out, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := tar.NewWriter(out)
	data := make([]byte, 1024)
	for i := range f.Many {
		if i%100 == 0 {
			if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%s/d%03d/", untarDir, i/100), Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
				return "", err
			}
		}
		h := &tar.Header{Name: fmt.Sprintf("%s/d%03d/file%05d", untarDir, i/100, i), Size: int64(len(data)), Mode: 0o644}
		if err := w.WriteHeader(h); err != nil {
			return "", err
		}
		if _, err := w.Write(data); err != nil {
			return "", err
		}
	}
	return path, w.Close()
}

// Names in the fixtures.
const (
	manyDir  = "many"
	movedDir = "moved"
	flatDir  = "flat"
	untarDir = "untar"
)

const (
	smallSize = 4 << 10
	midSize   = 1 << 20
)

func smallName(i int) string  { return fmt.Sprintf("big/small%02d", i) }
func midName(i int) string    { return fmt.Sprintf("big/mid%02d", i) }
func bigName(i int) string    { return fmt.Sprintf("big/data%d", i) }
func sparseName(i int) string { return fmt.Sprintf("big/sparse%02d", i) }

// smalls is how many files of 4 KiB there are beside those of 1 MiB.
func (s Sizes) smalls() int { return 8 * s.Mids }

// fixtureWriter writes files until the first error.
type fixtureWriter struct {
	rnd *rand.Rand
	buf [1 << 20]byte
	dir string // made last
	err error
}

// tree deals out n files of 20 KiB on the average, a dozen a directory, as a root
// filesystem has them. A fifth of the directories is in every layer, a fiftieth of
// the files is in two.
func (w *fixtureWriter) tree(layer func(int) string, layers, n int) {
	for i := range n {
		d := i / 12
		name := fmt.Sprintf("usr/s%02d/d%03d/file%05d", d/64, d, i)
		l := d % layers
		if d%5 == 0 {
			l = i % layers
		}
		size := int64(w.rnd.ExpFloat64() * (20 << 10))
		w.file(filepath.Join(layer(l), name), size)
		if i%50 == 0 {
			w.file(filepath.Join(layer((l+1)%layers), name), size)
		}
	}
}

// file writes size bytes that don't compress.
func (w *fixtureWriter) file(path string, size int64) {
	if w.err != nil {
		return
	}
	if d := filepath.Dir(path); d != w.dir {
		if w.err = os.MkdirAll(d, 0o755); w.err != nil {
			return
		}
		w.dir = d
	}
	f, err := os.Create(path)
	if err != nil {
		w.err = err
		return
	}
	for ; size > 0 && err == nil; size -= int64(len(w.buf)) {
		b := w.buf[:min(size, int64(len(w.buf)))]
		w.fill(b)
		_, err = f.Write(b)
	}
	w.err = errors.Join(err, f.Close())
}

func (w *fixtureWriter) fill(b []byte) {
	for i := 0; i < len(b); i += 4096 { // a page that is like no other is enough
		v := w.rnd.Uint64()
		for j := i; j < min(i+4096, len(b)); j++ {
			b[j] = byte(v >> (j % 8 * 8))
		}
	}
}

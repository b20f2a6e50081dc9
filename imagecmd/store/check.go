package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/opencontainers/go-digest"
)

// A Fault is an object of the store that is not as it should be.
type Fault struct {
	Object  string   // "layer sha256:…", "blob sha256:…", "merged index …", "index.json", …
	Images  []string // whose it is, "debian:latest (0123456789ab)"; empty: nobody's
	Hits    []Hit    // what is wrong with it, at least one
	Outcome Outcome
	Advice  string // what to do, or what was done
}

// A Hit is one thing that is wrong with an object.
type Hit struct {
	Path   string // the entry of the layer, by the name it has there; "" none in particular
	Reason string
}

// Outcome is what became of a fault.
type Outcome int

// The outcomes. With all but Repaired the object is still damaged.
const (
	Repairable Outcome = iota // CheckOptions.Repair was not asked for
	Repaired
	InUse // it could be repaired if nobody used it
	Lost  // nothing is here that it could be repaired from
)

// CheckOptions says what Check does.
type CheckOptions struct {
	// Repair mends what can be mended from what is here: an index from its
	// layers' tables of contents, a table of contents from its tar, a tar from
	// its blob, the blob of a plain layer from its tar, index.json from the
	// manifests. What is lost is moved to [Store.DamagedDir], so that the image
	// can be brought in whole again.
	Repair bool
	// Report is told each fault, one at a time; may be nil.
	Report func(Fault)
	// Progress is told the bytes that were read, and how many there are; may be
	// nil. It is called by several goroutines.
	Progress func(done, total int64)
}

// Checked is what Check looked at, and found.
type Checked struct {
	Images, Blobs, Layers, Indexes int
	Bytes                          int64 // read
	Faults, Repaired               int
	Leftovers                      int // of killed commands, in tmp/; the next command that writes sweeps them
}

// DamagedDir is where Check moves what is lost.
func (s *Store) DamagedDir() string { return filepath.Join(s.root, "damaged") }

// Check holds everything in the store against its digest: blobs, the tars of
// layers, and what was made of those; and looks whether all is there that the
// images need. It runs beside other commands: what it looks at it leases, and
// what others have leased it does not replace. Without Repair nothing is written.
//
// An error says that something could not be looked at, not that it is damaged.
func (s *Store) Check(ctx context.Context, o CheckOptions) (Checked, error) {
	c := &checker{s: s, o: o, in: &Ingest{s: s}, blobs: map[digest.Digest]error{}, layers: map[digest.Digest]*layerState{}, told: map[string]bool{}}
	defer c.in.Close()
	err := c.run(ctx)
	if err != nil {
		err = fmt.Errorf("check %s: %w", s.root, err)
	}
	c.sum.Bytes = c.done.Load()
	return c.sum, err
}

// A checker is one Check. Objects are looked at in parallel; the maps are filled
// and the faults handled by its own goroutine.
type checker struct {
	s   *Store
	o   CheckOptions
	in  *Ingest // holds what is repaired, or repaired from
	sum Checked

	refs   *references
	blobs  map[digest.Digest]error       // that are there
	layers map[digest.Digest]*layerState // that are there
	told   map[string]bool               // images of which a fault was told
	broken map[string]error              // images that can't be read, and why
	done   atomic.Int64                  // bytes
	total  int64                         // bytes
}

// inode is a file, of whatever name.
type inode struct{ dev, ino uint64 }

func inodeOf(fi fs.FileInfo) inode {
	st := fi.Sys().(*syscall.Stat_t)
	return inode{uint64(st.Dev), st.Ino}
}

func (c *checker) run(ctx context.Context) error {
	if _, err := os.Stat(c.s.root); errors.Is(err, fs.ErrNotExist) {
		return nil // a store that was never written is whole
	}
	var err error
	if c.sum.Leftovers, err = c.s.leftovers(); err != nil {
		return err
	}
	if err := c.checkMarker(ctx); err != nil {
		return err
	}
	if c.o.Repair {
		if err := c.s.prepare(ctx); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context) error{
		c.checkNames, c.readReferences,
		c.checkObjects, c.judgeLayers, c.judgeBlobs, c.judgeImages, c.judgeContainers, c.checkIndexes,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// leftovers counts what is below tmp/ and nobody writes.
func (s *Store) leftovers() (int, error) {
	entries, err := os.ReadDir(s.tmp())
	if err != nil {
		return 0, ignoreMissing(err)
	}
	n := 0
	for _, e := range entries {
		path := filepath.Join(s.tmp(), e.Name())
		busy, err := leased(path)
		if err != nil {
			return 0, err
		}
		if _, err := os.Lstat(path); err == nil && !busy {
			n++
		}
	}
	return n, nil
}

// A remedy is how a fault is repaired; do may be nil: it can't be.
type remedy struct {
	do   func(ctx context.Context) error
	what string // what it does: "made again from its tar"
}

// errInUse is a remedy's answer when somebody uses what it would replace.
var errInUse = errors.New("it is in use")

// fault handles one: it is repaired if that was asked for and can be, and
// reported. lost does what there is to do when it can't be; it may be nil.
func (c *checker) fault(ctx context.Context, f Fault, r remedy, lost func(ctx context.Context) (advice string, err error)) error {
	c.sum.Faults++
	for _, image := range f.Images {
		c.told[image] = true
	}
	switch {
	case r.do == nil && lost != nil && c.o.Repair:
		f.Outcome = Lost
		advice, err := lost(ctx)
		if err != nil {
			return err
		}
		f.Advice = advice + again(f.Images)
	case r.do == nil:
		f.Outcome, f.Advice = Lost, "it can't be repaired"+again(f.Images)
	case !c.o.Repair:
		f.Outcome, f.Advice = Repairable, "with --repair it is "+r.what
	default:
		switch err := r.do(ctx); {
		case err == nil:
			f.Outcome, f.Advice = Repaired, "it was "+r.what
			c.sum.Repaired++
		case errors.Is(err, errInUse):
			f.Outcome, f.Advice = InUse, "it is in use: end what is run or mounted of the image, then repair again"
		case ctx.Err() != nil:
			return err
		default:
			f.Outcome, f.Advice = Lost, fmt.Sprintf("it could not be %s: %v", r.what, err)
		}
	}
	if c.o.Report != nil {
		c.o.Report(f)
	}
	return nil
}

// again is how a lost object comes back.
func again(images []string) string {
	if len(images) == 0 {
		return ""
	}
	return ": load or pull the image again, or remove it"
}

// setAside moves an object that is lost to DamagedDir, unless somebody uses it.
func (c *checker) setAside(ctx context.Context, path string) (string, error) {
	took, err := seize(path)
	if err != nil {
		return "", err
	}
	if took == nil {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return "it can't be repaired", nil
		}
		return "it can't be repaired, and it is in use", nil
	}
	defer took.Close()
	dir := c.s.DamagedDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	to := filepath.Join(dir, filepath.Base(path))
	for n := 1; ; n++ {
		err := renameNew(path, to)
		if err == nil {
			return "it can't be repaired, and was moved to " + to, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		to = filepath.Join(dir, fmt.Sprintf("%s.%d", filepath.Base(path), n))
	}
}

// drop removes a damaged object that nobody needs; errInUse where somebody has it.
func (c *checker) drop(path string) error {
	took, err := seize(path)
	if err != nil {
		return err
	}
	if took == nil {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errInUse
	}
	return c.s.trash(took, path)
}

// read counts bytes that were read.
func (c *checker) read(n int64) {
	done := c.done.Add(n)
	if c.o.Progress != nil {
		c.o.Progress(done, max(done, c.total))
	}
}

func hits(reasons ...string) []Hit {
	var out []Hit
	for _, r := range reasons {
		out = append(out, Hit{Reason: r})
	}
	return out
}

// sortedKeys gives an order to what is in a map, so that reports have one.
func sortedKeys[V any](m map[digest.Digest]V) []digest.Digest {
	var out []digest.Digest
	for d := range m {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}

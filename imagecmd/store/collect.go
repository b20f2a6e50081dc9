package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/internal/parallel"
	"github.com/cfs-project/cfs/internal/durable"
)

// marks are objects, by what names them.
type marks struct {
	blobs    map[digest.Digest]bool
	layers   map[string]bool        // base names below layers/
	indexes  map[string]bool        // base names below images/
	prefixes map[digest.Digest]bool // the chain IDs of whole chains and of all their beginnings
}

func newMarks() *marks {
	return &marks{map[digest.Digest]bool{}, map[string]bool{}, map[string]bool{}, map[digest.Digest]bool{}}
}

// mark adds everything that a blob of the store leads to: through indexes to
// all platforms, through manifests to configs and layers. What is missing or
// can't be understood leads nowhere.
func (s *Store) mark(ctx context.Context, d digest.Digest, m *marks, depth int) error {
	if m.blobs[d] || checkDigest(d) != nil {
		return nil
	}
	m.blobs[d] = true
	if depth > maxNesting {
		return nil
	}
	raw, err := s.Document(ctx, ocispec.Descriptor{Digest: d})
	if errors.Is(err, ErrInvalid) {
		return nil
	}
	if err != nil {
		return ignoreMissing(err)
	}
	parsed, err := parseDocument(raw)
	if err != nil {
		return nil
	}
	if parsed.Manifests != nil {
		x, err := parsed.index()
		if err != nil {
			return nil
		}
		for _, c := range x.Manifests {
			if err := s.mark(ctx, c.Digest, m, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	doc, err := parsed.manifest()
	if err != nil && !errors.Is(err, ErrUnsupported) {
		return nil
	}
	m.blobs[doc.Config.Digest] = true
	for _, l := range doc.Layers {
		m.blobs[l.Digest] = true
	}
	rawConfig, err := s.Document(ctx, doc.Config)
	if errors.Is(err, ErrInvalid) {
		return nil
	}
	if err != nil {
		return ignoreMissing(err)
	}
	if c, err := ParseConfig(rawConfig, len(doc.Layers)); err == nil {
		m.chain(s, c.RootFS.DiffIDs)
	}
	return nil
}

func (m *marks) chain(s *Store, diffIDs []digest.Digest) {
	for i, d := range diffIDs {
		m.layers[filepath.Base(s.layerPath(d))] = true
		m.prefixes[identity.ChainID(diffIDs[:i+1])] = true
	}
	m.indexes[filepath.Base(s.chainPath(chainID(diffIDs)))] = true
}

// collect removes, under the index lock, what no line of x and no container
// leads to: of the blobs the candidates and the very old, of the layers and
// indexes all, as only cfs makes them. What is leased stays until the next
// time. It returns what is needed.
func (s *Store) collect(ctx context.Context, x *index, candidates *marks, bin *trashBin) (*marks, error) {
	live := newMarks()
	for _, l := range x.Manifests {
		if err := s.mark(ctx, l.Digest, live, 0); err != nil {
			return nil, err
		}
	}
	containers, err := s.Containers(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range containers {
		valid := true
		for _, d := range c.Layers {
			valid = valid && checkDigest(d) == nil
		}
		if valid {
			live.chain(s, c.Layers)
		}
	}
	if err := s.collectDir(s.images(), bin, func(e os.DirEntry) bool {
		return strings.HasSuffix(e.Name(), indexSuffix) && !live.indexes[e.Name()]
	}); err != nil {
		return nil, err
	}
	if err := s.collectDir(s.layers(), bin, func(e os.DirEntry) bool { return !live.layers[e.Name()] }); err != nil {
		return nil, err
	}
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		dir := filepath.Join(s.LayoutDir(), ocispec.ImageBlobsDir, a.String())
		err := s.collectDir(dir, bin, func(e os.DirEntry) bool {
			d := digest.NewDigestFromEncoded(a, e.Name())
			if d.Validate() != nil || live.blobs[d] {
				return false
			}
			return candidates.blobs[d] || old(e)
		})
		if err := ignoreMissing(err); err != nil {
			return nil, err
		}
	}
	return live, nil
}

// old tells whether a blob that nothing names has been there for OrphanAge.
func old(e os.DirEntry) bool {
	fi, err := e.Info()
	return err == nil && fi.Mode().IsRegular() && time.Since(fi.ModTime()) > OrphanAge
}

// collectDir bins what dead chooses of a directory and nobody has leased.
func (s *Store) collectDir(dir string, bin *trashBin, dead func(os.DirEntry) bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	gone := false
	for _, e := range entries {
		if !dead(e) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := seize(path)
		if err != nil {
			return err
		}
		if f == nil {
			continue
		}
		if err := bin.put(s, f, path); err != nil {
			return err
		}
		gone = true
	}
	if !gone {
		return nil
	}
	return durable.SyncDir(dir)
}

// A trashBin holds what has lost its name, to be deleted without a lock held
// that others wait for. Killed before it is emptied, it leaves temps.
type trashBin struct {
	files []*os.File
	paths []string
}

// put takes an object that was seized out of its directory.
func (b *trashBin) put(s *Store, f *os.File, path string) error {
	gone := filepath.Join(s.tmp(), randomName("trash"))
	if err := os.Rename(path, gone); err != nil {
		f.Close()
		return err
	}
	b.files = append(b.files, f)
	b.paths = append(b.paths, gone)
	return nil
}

// empty deletes, several objects at a time: to free a large file keeps a CPU busy.
func (b *trashBin) empty() error {
	errs := make([]error, len(b.paths))
	// Not to be interrupted: what has no name any more is of no use.
	err := parallel.Do(context.Background(), runtime.GOMAXPROCS(0), len(b.paths), func(_ context.Context, i int) error {
		errs[i] = os.RemoveAll(b.paths[i])
		b.files[i].Close()
		return nil
	})
	b.files, b.paths = nil, nil
	return errors.Join(append(errs, err)...)
}

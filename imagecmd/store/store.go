package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// OrphanAge is how long a blob that no image names is kept.
const OrphanAge = 24 * time.Hour

// Options says how a store is used. The zero value is this host's.
type Options struct {
	// Platform is what images are chosen for out of an index of several.
	// nil: the host's, with the highest CPU variant it runs.
	Platform *ocispec.Platform
	// MaxExpansion bounds the unpacking of layers; see layerpack.PackOptions.
	MaxExpansion int64
}

// A Store is a directory of images. Its methods may be called from any number
// of goroutines, and any number of processes may have it open.
type Store struct {
	root     string // absolute, immutable
	platform ocispec.Platform
	expand   int64
}

// Open returns the store at root. Nothing is read or made: the first write
// makes the directories, and a store that is not there is empty.
func Open(root string, o Options) (*Store, error) {
	if root == "" {
		return nil, fmt.Errorf("open image store: no directory given")
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open image store %s: %w", root, err)
	}
	if fi, err := os.Stat(abs); err == nil && !fi.IsDir() {
		return nil, fmt.Errorf("open image store %s: not a directory", root)
	}
	s := &Store{root: abs, expand: o.MaxExpansion}
	if o.Platform != nil {
		s.platform = normalPlatform(*o.Platform)
	} else {
		s.platform = HostPlatform()
	}
	return s, nil
}

// Root is the absolute directory of the store.
func (s *Store) Root() string { return s.root }

// Platform is what images are chosen for.
func (s *Store) Platform() ocispec.Platform { return s.platform }

// DriverHome is where the storage driver of that name keeps what it
// materialises of chains.
func (s *Store) DriverHome(name string) string { return filepath.Join(s.root, "drivers", name) }

// LayoutDir is the OCI image layout.
func (s *Store) LayoutDir() string { return filepath.Join(s.root, "oci") }

func (s *Store) indexPath() string { return filepath.Join(s.root, "oci", ocispec.ImageIndexFile) }
func (s *Store) tmp() string       { return filepath.Join(s.root, "tmp") }
func (s *Store) layers() string    { return filepath.Join(s.root, "layers") }
func (s *Store) images() string    { return filepath.Join(s.root, "images") }

func (s *Store) blobPath(d digest.Digest) string {
	return filepath.Join(s.root, "oci", ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

func (s *Store) layerPath(diffID digest.Digest) string {
	return filepath.Join(s.layers(), diffID.Encoded())
}

// chainPath is where the merged index of a chain lives. The chain of no layers
// has no ID, and a file all the same.
func (s *Store) chainPath(id digest.Digest) string {
	name := "empty"
	if id != "" {
		name = id.Encoded()
	}
	return filepath.Join(s.images(), name+indexSuffix)
}

const indexSuffix = ".erofs"

// prepare makes the directories, writes the layout's marker, and sweeps what
// killed processes left behind. Every writer begins with it.
func (s *Store) prepare(ctx context.Context) error {
	// The root may be passed through by the mapped users of a container's
	// directories; what is below oci, layers and images is for the owner only.
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{
		{s.root, 0o711},
		{s.tmp(), 0o700},
		{filepath.Join(s.LayoutDir(), ocispec.ImageBlobsDir, string(digest.SHA256)), 0o700},
		{s.layers(), 0o700},
		{s.images(), 0o700},
		{filepath.Join(s.root, "containers"), 0o711},
		{filepath.Join(s.root, "drivers"), 0o700},
	} {
		if err := os.MkdirAll(d.path, d.mode); err != nil {
			return fmt.Errorf("prepare image store: %w", err)
		}
	}
	if err := s.sweep(); err != nil {
		return fmt.Errorf("sweep image store: %w", err)
	}
	marker := filepath.Join(s.LayoutDir(), ocispec.ImageLayoutFile)
	if _, err := os.Lstat(marker); err == nil {
		return nil
	}
	return s.replaceFile(ctx, marker, []byte(`{"imageLayoutVersion":"`+ocispec.ImageLayoutVersion+`"}`))
}

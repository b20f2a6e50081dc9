package dockerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/whiteout"
)

// ErrInvalid says that a directory is not Docker's, or damaged, or hostile.
var ErrInvalid = errors.New("invalid store of Docker's")

// A kind is how a graph driver keeps layers.
type kind struct {
	driver  string
	place   string           // of the directory of a layer, whose cache ID is *
	dialect whiteout.Dialect // of a stacked one; Plain: it is a whole tree
}

// kinds are those whose layers are directories of the host.
var kinds = []kind{
	{"overlay2", "overlay2/*/diff", whiteout.Trusted},
	{"fuse-overlayfs", "fuse-overlayfs/*/diff", whiteout.FuseOverlay},
	{"aufs", "aufs/diff/*", whiteout.AUFS},
	{"overlay", "overlay/*/root", whiteout.Plain},
	{"vfs", "vfs/dir/*", whiteout.Plain},
	{"btrfs", "btrfs/subvolumes/*", whiteout.Plain},
}

// A Store is what one graph driver keeps of images.
type Store struct {
	kind kind
	root *os.Root // Docker's directory
}

// Open opens the store of a graph driver in Docker's directory, usually
// /var/lib/docker. Without a driver it is the one that is there, and the error tells which
// there are if there are several.
func Open(dir, driver string) (*Store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{root: root}
	if s.kind, err = choose(root, driver); err != nil {
		root.Close()
		return nil, err
	}
	return s, nil
}

// Driver is the name of the graph driver.
func (s *Store) Driver() string { return s.kind.driver }

// Close ends the use of the store, and of all images of it.
func (s *Store) Close() error { return s.root.Close() }

func choose(root *os.Root, driver string) (kind, error) {
	there, err := drivers(root)
	switch {
	case err != nil:
		return kind{}, err
	case len(there) == 0:
		if _, err := root.Stat("graph"); err == nil {
			return kind{}, errors.New("it is of Docker 1.9 or older, which Docker 1.10 to 20.10 converts when it is started on it")
		}
		return kind{}, errors.New("no Docker has kept images there (it has no image/<driver>/imagedb)")
	case driver == "" && len(there) > 1:
		return kind{}, fmt.Errorf("several drivers have images there: %s (--driver)", strings.Join(there, ", "))
	case driver == "":
		driver = there[0]
	case !slices.Contains(there, driver):
		return kind{}, fmt.Errorf("driver %s has no images there (there are those of: %s)", driver, strings.Join(there, ", "))
	}
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.driver == driver })
	if i < 0 {
		return kind{}, fmt.Errorf("driver %s keeps layers where only it finds them: have Docker write them, with docker save", driver)
	}
	return kinds[i], nil
}

// drivers are the names of those that have images.
func drivers(root *os.Root) ([]string, error) {
	all, err := fs.ReadDir(root.FS(), "image")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range all {
		if _, err := root.Stat(filepath.Join("image", e.Name(), "imagedb")); err == nil {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// image is a path below image/<driver>.
func (s *Store) image(elem ...string) string {
	return filepath.Join(append([]string{"image", s.kind.driver}, elem...)...)
}

// layer is the layer on top of a chain (layer/filestore.go), bottom first in a chain's list.
type layer struct {
	diffID digest.Digest
	meta   string   // its directory in layerdb
	trees  []string // directories of the chain's layers, bottom first; the last is its own
	size   int64    // bytes of its files
}

// chainID names a chain in layerdb: OCI image spec, config.md, "Layer ChainID".
func chainID(below, diffID digest.Digest) digest.Digest {
	if below == "" {
		return diffID
	}
	return digest.FromString(string(below) + " " + string(diffID))
}

// layers finds those of a chain, bottom first.
func (s *Store) layers(diffIDs []digest.Digest) ([]layer, error) {
	var out []layer
	var below digest.Digest
	var trees []string
	for _, diffID := range diffIDs {
		id := chainID(below, diffID)
		l := layer{diffID: diffID, meta: s.image("layerdb", id.Algorithm().String(), id.Encoded())}
		cacheID, err := s.text(l.meta, "cache-id")
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", diffID, err)
		}
		if !filepath.IsLocal(cacheID) || strings.ContainsRune(cacheID, '/') {
			return nil, fmt.Errorf("layer %s: %w: cache ID %.100q", diffID, ErrInvalid, cacheID)
		}
		if size, err := s.text(l.meta, "size"); err == nil {
			fmt.Sscan(size, &l.size) // for progress only
		}
		tree := strings.Replace(s.kind.place, "*", cacheID, 1)
		if fi, err := s.root.Lstat(tree); err != nil {
			return nil, fmt.Errorf("layer %s: %w", diffID, err)
		} else if !fi.IsDir() {
			return nil, fmt.Errorf("layer %s: %w: %s is no directory", diffID, ErrInvalid, tree)
		}
		trees = append(slices.Clip(trees), tree)
		l.trees = trees
		out = append(out, l)
		below = id
	}
	return out, nil
}

// text is what a small file of layerdb says.
func (s *Store) text(dir, name string) (string, error) {
	raw, err := s.document(filepath.Join(dir, name))
	return strings.TrimSpace(string(raw)), err
}

// path is a directory of the store as others open it; it stays good until Close.
func (s *Store) path(name string) string { return filepath.Join(s.root.Name(), name) }

// base is what the chain below a layer comes to.
func (s *Store) base(l layer) (*cow.DirBase, error) {
	var dirs []string
	for _, tree := range l.trees[:len(l.trees)-1] {
		dirs = append(dirs, s.path(tree))
	}
	if s.kind.dialect == whiteout.Plain && len(dirs) > 0 {
		dirs = dirs[len(dirs)-1:]
	}
	return cow.OpenDirBase(dirs, s.kind.dialect)
}

// Package testdocker writes the directory of a Docker Engine as one of its graph drivers
// would, of the tars of layers: for tests of what reads such.
//
//	layers ──► DIR/<driver>/…/<cache ID>            extracted, in the driver's way
//	       └─► DIR/image/<driver>/{imagedb,layerdb,repositories.json}
//
// Source: moby, layer/filestore.go, image/fs.go, daemon/graphdriver.
package testdocker

import (
	"bytes"
	"compress/gzip"
	_ "crypto/sha256" // for digest
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"
)

// A Store is what one graph driver has in Docker's directory.
type Store struct {
	Dir    string
	Driver string
	// NoSplit leaves tar-split.json.gz out, as Docker did not always write it.
	NoSplit bool

	repos map[string]map[string]digest.Digest
}

// Drivers are those that a Store can be of.
var Drivers = []string{"overlay2", "fuse-overlayfs", "aufs", "overlay", "vfs", "btrfs"}

// Add adds an image of layers, bottom first, and returns its ID. Name, with a tag, may be empty.
// What deletes in overlay2's way needs root.
func (s *Store) Add(name string, layers ...[]byte) (digest.Digest, error) {
	var diffIDs []digest.Digest
	var chain digest.Digest
	var below string // directory of the last layer
	for _, tar := range layers {
		diffID := digest.FromBytes(tar)
		parent := chain
		chain = diffID
		if parent != "" {
			chain = digest.FromString(string(parent) + " " + string(diffID))
		}
		diffIDs = append(diffIDs, diffID)
		cacheID := digest.FromString("drawn by lot " + string(chain)).Encoded()
		tree := s.tree(cacheID)
		if _, err := os.Lstat(tree); err == nil { // another image's, too
			below = tree
			continue
		}
		if err := s.extract(tree, below, tar); err != nil {
			return "", fmt.Errorf("layer %s: %w", diffID, err)
		}
		if err := s.layer(chain, parent, diffID, cacheID, tar); err != nil {
			return "", err
		}
		below = tree
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "created": "2016-05-06T07:08:09Z", "docker_version": "1.12.6",
		"config": map[string]any{"Cmd": []string{"sh"}}, "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	if err != nil {
		return "", err
	}
	id := digest.FromBytes(config)
	if err := write(s.meta("imagedb/content/sha256", id.Encoded()), config); err != nil {
		return "", err
	}
	return id, s.tag(name, id)
}

// Child says that one image was built on another.
func (s *Store) Child(id, parent digest.Digest) error {
	return write(s.meta("imagedb/metadata/sha256", id.Encoded(), "parent"), []byte(parent))
}

func (s *Store) tag(name string, id digest.Digest) error {
	if s.repos == nil {
		s.repos = map[string]map[string]digest.Digest{}
	}
	if repo, _, ok := strings.Cut(name, ":"); ok {
		if s.repos[repo] == nil {
			s.repos[repo] = map[string]digest.Digest{}
		}
		s.repos[repo][name] = id
		s.repos[repo][repo+"@"+string(digest.FromString(name))] = id // as if it had been pulled
	}
	raw, err := json.Marshal(map[string]any{"Repositories": s.repos})
	if err != nil {
		return err
	}
	return write(s.meta("repositories.json"), raw)
}

// layer writes what layerdb has of one.
func (s *Store) layer(chain, parent, diffID digest.Digest, cacheID string, tar []byte) error {
	files := map[string]string{"diff": string(diffID), "cache-id": cacheID, "size": fmt.Sprint(len(tar))}
	if parent != "" {
		files["parent"] = string(parent)
	}
	if !s.NoSplit {
		split, err := Split(tar)
		if err != nil {
			return err
		}
		files["tar-split.json.gz"] = string(split)
	}
	for name, text := range files {
		if err := write(s.meta("layerdb/sha256", chain.Encoded(), name), []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// Split is a tar without the contents of its files, as tar-split.json.gz has it.
func Split(tar []byte) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	r, err := asm.NewInputTarStream(bytes.NewReader(tar), storage.NewJSONPacker(z), storage.NewDiscardFilePutter())
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// meta is a path below image/<driver>.
func (s *Store) meta(elem ...string) string {
	return filepath.Join(append([]string{s.Dir, "image", s.Driver}, elem...)...)
}

func write(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o600)
}

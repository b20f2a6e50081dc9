package archive

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

const (
	dockerManifestName = "manifest.json"
	repositoriesName   = "repositories"
)

// A dockerImage is one element of a docker-archive's manifest.json.
type dockerImage struct {
	Config   string   // name of the file
	RepoTags []string // may be null
	Layers   []string // names of files, bottom first
	names    []reference.Named
}

// parseDocker reads a docker-archive's manifest.json.
func parseDocker(raw []byte) ([]dockerImage, error) {
	var list []dockerImage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, dockerManifestName, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: %s names no image", ErrInvalid, dockerManifestName)
	}
	for i := range list {
		d := &list[i]
		var err error
		if d.Config, err = cleanName(d.Config); err != nil {
			return nil, fmt.Errorf("%s: config: %w", dockerManifestName, err)
		}
		if len(d.Layers) > store.MaxLayers {
			return nil, fmt.Errorf("%w: %s: %d layers", ErrInvalid, dockerManifestName, len(d.Layers))
		}
		for j := range d.Layers {
			if d.Layers[j], err = cleanName(d.Layers[j]); err != nil {
				return nil, fmt.Errorf("%s: layer: %w", dockerManifestName, err)
			}
		}
		for _, t := range d.RepoTags {
			ref, err := reference.ParseNormalizedNamed(t)
			if err != nil {
				return nil, fmt.Errorf("%w: %s: invalid tag %.200q: %w", ErrInvalid, dockerManifestName, t, err)
			}
			if _, ok := ref.(reference.Canonical); ok {
				return nil, fmt.Errorf("%w: %s: invalid tag %.200q: it is a digest", ErrInvalid, dockerManifestName, t)
			}
			d.names = append(d.names, reference.TagNameOnly(ref))
		}
	}
	return list, nil
}

var (
	hexConfig = onceCompiled(`^(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?$`)
	blobName  = onceCompiled(`^blobs/sha256/([0-9a-f]{64})$`)
)

// onceCompiled is an expression that costs the programs nothing which read no archive.
func onceCompiled(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// config reads an image's config, whose name, where it is a digest, must be its own.
func (d dockerImage) config(fsys Files) ([]byte, error) {
	raw, err := document(fsys, d.Config)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if m := hexConfig().FindStringSubmatch(d.Config); m != nil && digest.FromBytes(raw).Encoded() != m[1] {
		return nil, fmt.Errorf("%w: config %s has another digest", ErrInvalid, path.Base(d.Config))
	}
	return raw, nil
}

// blobDigest is the digest that a layer's name gives its bytes; "" none.
func blobDigest(name string) digest.Digest {
	if m := blobName().FindStringSubmatch(name); m != nil {
		return digest.NewDigestFromEncoded(digest.SHA256, m[1])
	}
	return ""
}

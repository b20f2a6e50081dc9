package archive

import (
	"encoding/json"
	"path"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// A Saved is an image of an archive that is being written: a target, and the
// manifest of it that a docker-archive tells of.
type Saved struct {
	Target   ocispec.Descriptor
	Names    []reference.NamedTagged
	Manifest ocispec.Manifest
}

// BlobName is where a layout has a blob.
func BlobName(d digest.Digest) string {
	return path.Join(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// LayoutFiles are the marker and the index.json of a layout, a line for every
// name of an image, as the store itself writes them.
func LayoutFiles(images []Saved) ([]Member, error) {
	x := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
	}
	for _, img := range images {
		target := store.WithoutSteps(store.WithTagTime(img.Target, time.Time{}))
		if len(img.Names) == 0 {
			x.Manifests = append(x.Manifests, store.NamedDescriptor(target, nil))
		}
		for _, n := range img.Names {
			x.Manifests = append(x.Manifests, store.NamedDescriptor(target, n))
		}
	}
	raw, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	marker, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return nil, err
	}
	return []Member{Bytes(ocispec.ImageIndexFile, raw), Bytes(ocispec.ImageLayoutFile, marker)}, nil
}

// DockerFiles are what makes a layout a docker-archive, as Docker has written it
// since 25: manifest.json, whose files are the layout's blobs, and repositories,
// in which tags lead to top layers.
func DockerFiles(images []Saved) ([]Member, error) {
	type element struct {
		Config   string
		RepoTags []string // null without any
		Layers   []string
	}
	manifests := []element{}
	repositories := map[string]map[string]string{}
	for _, img := range images {
		e := element{Config: BlobName(img.Manifest.Config.Digest), Layers: []string{}}
		for _, l := range img.Manifest.Layers {
			e.Layers = append(e.Layers, BlobName(l.Digest))
		}
		for _, n := range img.Names {
			e.RepoTags = append(e.RepoTags, reference.FamiliarString(n))
			if len(e.Layers) == 0 {
				continue
			}
			repo := reference.FamiliarName(n)
			if repositories[repo] == nil {
				repositories[repo] = map[string]string{}
			}
			repositories[repo][n.Tag()] = path.Base(e.Layers[len(e.Layers)-1])
		}
		manifests = append(manifests, e)
	}
	var out []Member
	for name, v := range map[string]any{dockerManifestName: manifests, repositoriesName: repositories} {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		out = append(out, Bytes(name, raw))
	}
	return out, nil
}

package imagegen

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An Image is what can be loaded: layers as tars, bottom first, and how they
// are to be started.
type Image struct {
	Name        string // NAME:TAG
	Tars        [][]byte
	Compression Compression         // of the blobs in an OCI layout
	Config      ocispec.ImageConfig // may be zero
	Arch        string              // empty: amd64

	// Names are more names; none at all is a nameless image. Parent is the ID of
	// the image it was built on, in the annotation of an OCI layout where cfs
	// looks for it. RawConfig is its config instead of one made of the above.
	Names     []string
	Parent    digest.Digest
	RawConfig []byte
}

// ID is the image's: the digest of its config.
func (i Image) ID() digest.Digest { return digest.FromBytes(i.config()) }

// NewImage is an image of the layers.
func NewImage(name string, c Compression, layers []Layer) Image {
	i := Image{Name: name, Compression: c}
	for _, l := range layers {
		i.Tars = append(i.Tars, l.Tar())
	}
	return i
}

func (i Image) config() []byte {
	if i.RawConfig != nil {
		return i.RawConfig
	}
	arch := i.Arch
	if arch == "" {
		arch = "amd64"
	}
	created := epoch.UTC()
	c := ocispec.Image{Created: &created, Platform: ocispec.Platform{Architecture: arch, OS: "linux"}, Config: i.Config}
	c.RootFS.Type = "layers"
	for n, t := range i.Tars {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromBytes(t))
		c.History = append(c.History, ocispec.History{Created: &created, CreatedBy: fmt.Sprintf("imagegen layer %d", n)})
	}
	return mustJSON(c)
}

// put is how the two kinds of OCI place are written: a file each, in order.
type put func(name string, content []byte) error

// WriteOCILayout writes images into a new directory in the form of the OCI
// image layout specification, 1.0.
func WriteOCILayout(dir string, images ...Image) error {
	return writeOCI(func(name string, content []byte) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, content, 0o644)
	}, images)
}

// WriteOCIArchive writes the same as one tar.
func WriteOCIArchive(w io.Writer, images ...Image) error {
	t := tar.NewWriter(w)
	if err := writeOCI(tarPut(t), images); err != nil {
		return err
	}
	return t.Close()
}

func tarPut(t *tar.Writer) put {
	seen := map[string]bool{}
	return func(name string, content []byte) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: epoch}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := t.Write(content)
		return err
	}
}

func writeOCI(put put, images []Image) error {
	if err := put(ocispec.ImageLayoutFile, mustJSON(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})); err != nil {
		return err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	blob := func(mediaType string, b []byte) (ocispec.Descriptor, error) {
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
		return d, put("blobs/sha256/"+d.Digest.Encoded(), b)
	}
	for _, i := range images {
		mediaType := ocispec.MediaTypeImageLayer
		if i.Compression != Plain {
			mediaType += "+" + string(i.Compression)
		}
		m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
		for _, t := range i.Tars {
			d, err := blob(mediaType, i.Compression.Compress(t))
			if err != nil {
				return err
			}
			m.Layers = append(m.Layers, d)
		}
		var err error
		if m.Config, err = blob(ocispec.MediaTypeImageConfig, i.config()); err != nil {
			return err
		}
		d, err := blob(ocispec.MediaTypeImageManifest, mustJSON(m))
		if err != nil {
			return err
		}
		for _, name := range i.names() {
			d.Annotations = map[string]string{}
			if name != "" {
				d.Annotations[ocispec.AnnotationRefName] = name
			}
			if i.Parent != "" {
				d.Annotations["io.github.cfs-project.image.parent"] = string(i.Parent)
			}
			index.Manifests = append(index.Manifests, d)
		}
	}
	return put(ocispec.ImageIndexFile, mustJSON(index))
}

// names are all names, or an empty one.
func (i Image) names() []string {
	if i.Name == "" && len(i.Names) > 0 {
		return i.Names
	}
	return append([]string{i.Name}, i.Names...)
}

// WriteDockerArchive writes what `docker save` wrote before it wrote OCI
// layouts too: manifest.json, a config and a plain tar a layer.
func WriteDockerArchive(w io.Writer, images ...Image) error {
	type item struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	t := tar.NewWriter(w)
	put := tarPut(t)
	var manifest []item
	for _, i := range images {
		config := i.config()
		it := item{Config: digest.FromBytes(config).Encoded() + ".json", RepoTags: []string{i.Name}}
		for _, l := range i.Tars {
			name := digest.FromBytes(l).Encoded() + "/layer.tar"
			if err := put(name, l); err != nil {
				return err
			}
			it.Layers = append(it.Layers, name)
		}
		if err := put(it.Config, config); err != nil {
			return err
		}
		manifest = append(manifest, it)
	}
	if err := put("manifest.json", mustJSON(manifest)); err != nil {
		return err
	}
	repositories := map[string]map[string]string{}
	for n, i := range images {
		name, tag, _ := strings.Cut(i.Name, ":")
		if repositories[name] == nil {
			repositories[name] = map[string]string{}
		}
		if l := manifest[n].Layers; len(l) > 0 {
			repositories[name][tag] = strings.TrimSuffix(l[len(l)-1], "/layer.tar")
		}
	}
	if err := put("repositories", mustJSON(repositories)); err != nil {
		return err
	}
	return t.Close()
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the types above can all be written
	}
	return b
}

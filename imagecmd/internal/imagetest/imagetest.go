// Package imagetest makes images for tests: layers, and the archives that
// Docker, skopeo and umoci would write of them, good ones and bad ones.
package imagetest

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An Entry is one entry of a tar. A name that ends in a slash is a directory;
// with Link it is a symlink.
type Entry struct {
	Name string
	Data string
	Link string
}

// Tar is a tar of entries, owned by root.
func Tar(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.Name, Mode: 0o644, Size: int64(len(e.Data)), Typeflag: tar.TypeReg, ModTime: time.Unix(1700000000, 0)}
		switch {
		case e.Link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.Link
		case e.Name[len(e.Name)-1] == '/':
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.Data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Gzip compresses.
func Gzip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Zstd compresses.
func Zstd(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

// An Image is a config and its layers, uncompressed, bottom first.
type Image struct {
	Config []byte
	Layers [][]byte
}

// ID is the image's.
func (i Image) ID() digest.Digest { return digest.FromBytes(i.Config) }

// New makes an image of layers, created so many seconds after 2023-11-14.
func New(t testing.TB, created int64, layers ...[]byte) Image {
	t.Helper()
	at := time.Unix(1700000000+created, 0).UTC()
	c := ocispec.Image{Created: &at, Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	c.RootFS.Type = "layers"
	for _, l := range layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromBytes(l))
	}
	return Image{Config: JSON(t, c), Layers: layers}
}

// Simple is a one-layer image whose file holds text.
func Simple(t testing.TB, text string) Image {
	t.Helper()
	return New(t, 0, Tar(t, Entry{Name: "etc/"}, Entry{Name: "etc/text", Data: text}))
}

// JSON marshals.
func JSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// DockerOld is the entries of a docker-archive as Docker wrote it before 25. A
// layer that occurs twice is a symlink to the first.
func DockerOld(t testing.TB, i Image, tags ...string) []Entry {
	t.Helper()
	entries := []Entry{{Name: i.ID().Encoded() + ".json", Data: string(i.Config)}}
	seen := map[digest.Digest]string{}
	var layers []string
	for n, l := range i.Layers {
		dir := fmt.Sprintf("%064x", n+1)
		entries = append(entries, Entry{Name: dir + "/"}, Entry{Name: dir + "/VERSION", Data: "1.0"})
		d := digest.FromBytes(l)
		if first, ok := seen[d]; ok {
			entries = append(entries, Entry{Name: dir + "/layer.tar", Link: "../" + first})
		} else {
			entries = append(entries, Entry{Name: dir + "/layer.tar", Data: string(l)})
			seen[d] = dir + "/layer.tar"
		}
		layers = append(layers, dir+"/layer.tar")
	}
	m := []map[string]any{{"Config": i.ID().Encoded() + ".json", "RepoTags": tags, "Layers": layers}}
	return append(entries, Entry{Name: "manifest.json", Data: string(JSON(t, m))})
}

// A Layout is the files of an OCI layout by name.
type Layout map[string]string

// Blob adds a blob and returns its descriptor.
func (l Layout) Blob(mediaType string, b []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	l["blobs/sha256/"+d.Digest.Encoded()] = string(b)
	return d
}

// Add adds an image, its layers packed by pack, which may be nil, and returns
// its manifest's descriptor.
func (l Layout) Add(t testing.TB, i Image, mediaType string, pack func(testing.TB, []byte) []byte) ocispec.Descriptor {
	t.Helper()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	m.Config = l.Blob(ocispec.MediaTypeImageConfig, i.Config)
	for _, b := range i.Layers {
		if pack != nil {
			b = pack(t, b)
		}
		m.Layers = append(m.Layers, l.Blob(mediaType, b))
	}
	return l.Blob(ocispec.MediaTypeImageManifest, JSON(t, m))
}

// Index writes index.json and the marker.
func (l Layout) Index(t testing.TB, manifests ...ocispec.Descriptor) Layout {
	t.Helper()
	l["oci-layout"] = `{"imageLayoutVersion":"1.0.0"}`
	l["index.json"] = string(JSON(t, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: manifests}))
	return l
}

// Named gives a descriptor annotations, in pairs.
func Named(d ocispec.Descriptor, pairs ...string) ocispec.Descriptor {
	d.Annotations = map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		d.Annotations[pairs[i]] = pairs[i+1]
	}
	return d
}

// Entries is the layout as a tar's entries, index.json last.
func (l Layout) Entries() []Entry {
	var out []Entry
	for name, data := range l {
		if name != "index.json" {
			out = append(out, Entry{Name: name, Data: data})
		}
	}
	if x, ok := l["index.json"]; ok {
		out = append(out, Entry{Name: "index.json", Data: x})
	}
	return out
}

// Write writes the layout below dir.
func (l Layout) Write(t testing.TB, dir string) string {
	t.Helper()
	for name, data := range l {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// File writes b to a new file.
func File(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

package debianroot

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layouts are OCI layouts of one image that differ in how the layers are compressed.
type layouts struct {
	dir    string
	all    []*layout
	config ocispec.Image
	layers []DevLayer
}

type layout struct {
	dir       string
	program   []string // compresses
	mediaType string
	blobs     []ocispec.Descriptor // of the layers
}

// devTime is when the image claims to have been made, so that it is the same
// for the same packages.
var devTime = time.Date(2023, 6, 10, 0, 0, 0, 0, time.UTC)

func newLayouts(dir string) (*layouts, error) {
	l := &layouts{dir: dir, all: []*layout{
		{dir: filepath.Join(dir, "gzip"), program: []string{"gzip", "--no-name"}, mediaType: ocispec.MediaTypeImageLayerGzip},
		{dir: filepath.Join(dir, "zstd"), program: []string{"zstd", "--quiet"}, mediaType: ocispec.MediaTypeImageLayerZstd},
	}}
	l.config = ocispec.Image{Created: &devTime, Platform: ocispec.Platform{Architecture: runtime.GOARCH, OS: "linux"}, Config: ocispec.ImageConfig{
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, Cmd: []string{"bash"},
	}}
	l.config.RootFS.Type = "layers"
	for _, o := range l.all {
		if err := os.MkdirAll(filepath.Join(o.dir, ocispec.ImageBlobsDir, "sha256"), 0o755); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// add puts what write writes, a tar, into all layouts as their next layer.
func (l *layouts) add(ctx context.Context, name string, write func(io.Writer) (counts, error)) (err error) {
	tar := &sized{h: sha256.New()}
	to := []io.Writer{tar}
	var blobs []*blob
	for _, o := range l.all {
		b, err := o.compress(ctx)
		if err != nil {
			return errors.Join(err, finishAll(blobs))
		}
		blobs, to = append(blobs, b), append(to, b.in)
	}
	n, err := write(io.MultiWriter(to...))
	if err := errors.Join(err, finishAll(blobs)); err != nil {
		return err
	}
	for i, o := range l.all {
		d := ocispec.Descriptor{MediaType: o.mediaType, Digest: blobs[i].sum.digest(), Size: blobs[i].sum.n}
		if err := os.Rename(blobs[i].file.Name(), o.blobPath(d.Digest)); err != nil {
			return err
		}
		o.blobs = append(o.blobs, d)
	}
	l.layers = append(l.layers, DevLayer{Name: name, Entries: n.entries, Files: n.files, Bytes: tar.n})
	l.config.RootFS.DiffIDs = append(l.config.RootFS.DiffIDs, tar.digest())
	l.config.History = append(l.config.History, ocispec.History{Created: &devTime, CreatedBy: name})
	return nil
}

// finish writes what is not a layer.
func (l *layouts) finish() error {
	for _, o := range l.all {
		config, err := o.document(ocispec.MediaTypeImageConfig, l.config)
		if err != nil {
			return err
		}
		m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: o.blobs}
		d, err := o.document(m.MediaType, m)
		if err != nil {
			return err
		}
		d.Annotations = map[string]string{ocispec.AnnotationRefName: DevTag}
		x := ocispec.Index{Versioned: m.Versioned, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{d}}
		if err := writeJSON(filepath.Join(o.dir, ocispec.ImageIndexFile), x); err != nil {
			return err
		}
		if err := writeJSON(filepath.Join(o.dir, ocispec.ImageLayoutFile), ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}); err != nil {
			return err
		}
	}
	return writeJSON(filepath.Join(l.dir, layersFile), l.layers)
}

func writeJSON(path string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o644)
}

func (o *layout) document(mediaType string, v any) (ocispec.Descriptor, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	return d, os.WriteFile(o.blobPath(d.Digest), raw, 0o644)
}

func (o *layout) blobPath(d digest.Digest) string {
	return filepath.Join(o.dir, ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// A blob is being compressed: in ─► program ─► sum, file.
type blob struct {
	in   io.WriteCloser
	cmd  *exec.Cmd
	file *os.File
	sum  *sized
}

func (o *layout) compress(ctx context.Context) (*blob, error) {
	f, err := os.Create(filepath.Join(o.dir, "layer"))
	if err != nil {
		return nil, err
	}
	b := &blob{cmd: exec.CommandContext(ctx, o.program[0], append(o.program[1:], "--stdout")...), file: f, sum: &sized{h: sha256.New()}}
	b.cmd.Stdout, b.cmd.Stderr = io.MultiWriter(f, b.sum), os.Stderr
	if b.in, err = b.cmd.StdinPipe(); err == nil {
		err = b.cmd.Start()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return b, nil
}

func finishAll(blobs []*blob) error {
	var errs []error
	for _, b := range blobs {
		errs = append(errs, b.in.Close())
		if err := b.cmd.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", b.cmd.Args[0], err))
		}
		errs = append(errs, b.file.Close())
	}
	return errors.Join(errs...)
}

// sized hashes and counts what is written to it.
type sized struct {
	h hash.Hash
	n int64 // bytes
}

func (s *sized) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	return s.h.Write(p)
}

func (s *sized) digest() digest.Digest { return digest.NewDigest(digest.SHA256, s.h) }

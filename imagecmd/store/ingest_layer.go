package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/durable"
	"github.com/cfs-project/cfs/layerpack"
)

// LayerSource is where a layer comes from. Spool or Open is set.
type LayerSource struct {
	DiffID digest.Digest // the tar's; "" = not known
	Blob   digest.Digest // of the bytes as they come, where something names it; "" = not known
	Size   int64         // of Blob; < 0 = not known
	Spool  *Spool
	Open   func() (io.ReadCloser, error) // not called when the layer is here
	// MaxExpansion bounds the unpacking; 0 = the store's.
	MaxExpansion int64
	// Progress is told the bytes taken so far; may be nil.
	Progress func(n int64)
}

// A Layer is what Layer brought. Its blob is what came, byte for byte, but for
// a compression of which OCI knows none, bzip2 or xz: then it is the tar, or,
// where the source names its Blob, what came, without a media type.
type Layer struct {
	Descriptor ocispec.Descriptor // of the blob, with an OCI media type
	DiffID     digest.Digest
}

// Layer brings a layer: its blob and its packed form, in one pass where it can.
// A diff ID that is here with another compression is not unpacked again, so
// that of two blobs that claim one diff ID only the first is held against it.
func (in *Ingest) Layer(ctx context.Context, src LayerSource) (Layer, error) {
	for _, d := range []digest.Digest{src.DiffID, src.Blob} {
		if d == "" {
			continue
		}
		if err := checkDigest(d); err != nil {
			return Layer{}, err
		}
	}
	l, err := in.layer(ctx, src)
	switch {
	case err != nil:
	case src.Blob != "" && l.Descriptor.Digest != src.Blob:
		err = fmt.Errorf("%w: its blob is %s", layerpack.ErrDigest, l.Descriptor.Digest)
	case src.Size >= 0 && src.Blob != "" && l.Descriptor.Size != src.Size:
		err = fmt.Errorf("%w: its blob has %d bytes instead of %d", ErrInvalid, l.Descriptor.Size, src.Size)
	}
	return l, layerError(src, err)
}

func (in *Ingest) layer(ctx context.Context, src LayerSource) (Layer, error) {
	if src.Spool != nil {
		return in.spooledLayer(ctx, src)
	}
	if src.Blob != "" && src.DiffID != "" {
		f, err := in.s.leaseBlob(ctx, src.Blob, src.Size)
		if err == nil {
			in.hold(f)
			return in.packedLayer(ctx, src, f, false)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return Layer{}, err
		}
	}
	return in.streamedLayer(ctx, src)
}

func layerError(src LayerSource, err error) error {
	if err == nil {
		return nil
	}
	switch {
	case src.DiffID != "":
		return fmt.Errorf("layer %s: %w", src.DiffID, err)
	case src.Blob != "":
		return fmt.Errorf("layer %s: %w", src.Blob, err)
	}
	return fmt.Errorf("layer: %w", err)
}

// spooledLayer makes the spool the blob, and packs that.
func (in *Ingest) spooledLayer(ctx context.Context, src LayerSource) (Layer, error) {
	p := src.Spool
	p.mu.Lock()
	defer p.mu.Unlock()
	if src.Blob != "" && src.Blob.Algorithm() == digest.SHA256 && src.Blob != p.Digest {
		return Layer{}, fmt.Errorf("%w: it is %s instead of %s", layerpack.ErrDigest, p.Digest, src.Blob)
	}
	if src.Size >= 0 && src.Size != p.Size {
		return Layer{}, fmt.Errorf("%w: %d bytes instead of %d", ErrInvalid, p.Size, src.Size)
	}
	if p.t.done { // an archive that names one file twice; Blob has it
		src.Blob, src.Size = p.Digest, p.Size
		src.Spool, src.Open = nil, func() (io.ReadCloser, error) { return nil, fs.ErrNotExist }
		return in.layer(ctx, src)
	}
	if src.Blob != "" && src.Blob.Algorithm() != digest.SHA256 {
		src.Spool, src.Open = nil, func() (io.ReadCloser, error) { return io.NopCloser(p.NewReader()), nil }
		return in.layer(ctx, src)
	}
	c, err := layerpack.Detect(bufio.NewReader(p.NewReader()))
	if err != nil {
		return Layer{}, err
	}
	if c != layerpack.Plain && src.keepsTar(c) {
		src.Spool, src.Open = nil, func() (io.ReadCloser, error) { return io.NopCloser(p.NewReader()), nil }
		return in.layer(ctx, src)
	}
	if c == layerpack.Plain {
		if src.DiffID != "" && src.DiffID != p.Digest {
			return Layer{}, fmt.Errorf("%w: it is %s", layerpack.ErrDigest, p.Digest)
		}
		src.DiffID = p.Digest
	}
	f, err := in.s.publishBlob(ctx, p.t, p.Digest, p.Size)
	if err != nil {
		return Layer{}, err
	}
	in.hold(f)
	src.Blob, src.Size = p.Digest, p.Size
	return in.packedLayer(ctx, src, f, true)
}

// packedLayer packs a leased blob of the store, if that has not been done.
func (in *Ingest) packedLayer(ctx context.Context, src LayerSource, blob *os.File, verified bool) (Layer, error) {
	fi, err := blob.Stat()
	if err != nil {
		return Layer{}, err
	}
	c, err := layerpack.Detect(bufio.NewReader(io.NewSectionReader(blob, 0, fi.Size())))
	if err != nil {
		return Layer{}, err
	}
	s := in.s.with(src)
	if src.DiffID == "" {
		return in.unknownLayer(ctx, src, func(dir string) (layerpack.Packed, error) {
			return s.packBlob(ctx, dir, src, verified)
		})
	}
	f, err := s.buildLayer(ctx, src.DiffID, func(dir string) (layerpack.Packed, error) {
		return s.packBlob(ctx, dir, src, verified)
	})
	if err != nil {
		return Layer{}, err
	}
	in.hold(f)
	return Layer{DiffID: src.DiffID, Descriptor: ocispec.Descriptor{MediaType: mediaType(c), Digest: src.Blob, Size: fi.Size()}}, nil
}

// mediaType is OCI's for a layer in a compression; "" if it has none.
func mediaType(c layerpack.Compression) string {
	switch c {
	case layerpack.Plain:
		return ocispec.MediaTypeImageLayer
	case layerpack.Gzip:
		return ocispec.MediaTypeImageLayerGzip
	case layerpack.Zstd:
		return ocispec.MediaTypeImageLayerZstd
	}
	return ""
}

// keepsTar tells that the blob of what comes, compressed as c, is its tar.
func (src *LayerSource) keepsTar(c layerpack.Compression) bool {
	return c == layerpack.Plain || mediaType(c) == "" && src.Blob == ""
}

// with is the store with the bounds of one source.
func (s *Store) with(src LayerSource) *Store {
	if src.MaxExpansion == 0 {
		return s
	}
	c := *s
	c.expand = src.MaxExpansion
	return &c
}

// streamedLayer packs a layer as it arrives. Where the tar is the blob it is
// written once and linked; else what comes goes to the blob on its way.
func (in *Ingest) streamedLayer(ctx context.Context, src LayerSource) (Layer, error) {
	s := in.s.with(src)
	rc, err := src.Open()
	if err != nil {
		return Layer{}, err
	}
	defer rc.Close()
	r := bufio.NewReader(rc) // for the first bytes; whoever reads more reads it directly
	c, err := layerpack.Detect(r)
	if err != nil {
		return Layer{}, err
	}
	if c == layerpack.Plain && src.DiffID == "" {
		src.DiffID = src.Blob
	}
	var packed *layerpack.Packed
	fill := func(dir string) (layerpack.Packed, error) {
		o := s.packOptions()
		o.Blob, o.DiffID, o.Progress = src.Blob, src.DiffID, src.Progress
		var t *temp
		if !src.keepsTar(c) {
			if t, err = s.tempFile("blob"); err != nil {
				return layerpack.Packed{}, err
			}
			defer t.discard()
			o.BlobSink = &durable.Writer{File: t.f}
		}
		p, err := layerpack.Pack(ctx, r, dir, o)
		if err != nil {
			return p, err
		}
		if t == nil {
			p.Compression, p.Blob, p.BlobSize = layerpack.Plain, p.DiffID, p.TarSize
		}
		if err := in.keepBlob(ctx, t, dir, p); err != nil {
			return p, err
		}
		packed = &p
		return p, nil
	}
	if src.DiffID == "" {
		return in.unknownLayer(ctx, src, fill)
	}
	f, err := s.buildLayer(ctx, src.DiffID, fill)
	if err != nil {
		return Layer{}, err
	}
	in.hold(f)
	if packed == nil {
		// The layer is here; its blob, in this compression, is not.
		return in.blobOfLayer(ctx, src, r, c)
	}
	return Layer{DiffID: packed.DiffID, Descriptor: ocispec.Descriptor{MediaType: mediaType(packed.Compression), Digest: packed.Blob, Size: packed.BlobSize}}, nil
}

// keepBlob makes the blob of a layer that is packed in dir: of t, or, if that is
// nil, of its tar.
func (in *Ingest) keepBlob(ctx context.Context, t *temp, dir string, p layerpack.Packed) error {
	if t == nil {
		tarPath := filepath.Join(dir, cow.TarName)
		if err := os.Chmod(tarPath, 0o644); err != nil {
			return err
		}
		f, err := in.s.linkBlob(ctx, tarPath, p.DiffID, p.TarSize)
		if err == nil {
			in.hold(f)
			return nil
		}
		if !isNoLink(err) {
			return err
		}
		if t, err = in.s.tempFile("blob"); err != nil {
			return err
		}
		defer t.discard()
		if err := copyInto(ctx, t, tarPath); err != nil {
			return err
		}
	} else if err := t.f.Sync(); err != nil {
		return err
	}
	f, err := in.s.publishBlob(ctx, t, p.Blob, p.BlobSize)
	if err != nil {
		return err
	}
	in.hold(f)
	return nil
}

// unknownLayer packs a layer whose diff ID shows only at its end.
func (in *Ingest) unknownLayer(ctx context.Context, src LayerSource, fill func(dir string) (layerpack.Packed, error)) (Layer, error) {
	t, err := in.s.tempDir("layer")
	if err != nil {
		return Layer{}, err
	}
	defer t.discard()
	p, err := fill(t.path)
	if err != nil {
		return Layer{}, err
	}
	f, err := in.s.finishLayer(t, p)
	if errors.Is(err, fs.ErrExist) {
		f, err = in.s.leaseLayer(ctx, p.DiffID, nil)
	}
	if err != nil {
		return Layer{}, err
	}
	in.hold(f)
	return Layer{DiffID: p.DiffID, Descriptor: ocispec.Descriptor{MediaType: mediaType(p.Compression), Digest: p.Blob, Size: p.BlobSize}}, nil
}

// blobOfLayer keeps the blob of a layer that is already packed.
func (in *Ingest) blobOfLayer(ctx context.Context, src LayerSource, r *bufio.Reader, c layerpack.Compression) (Layer, error) {
	if src.keepsTar(c) {
		tar := in.s.layerTar(src.DiffID)
		fi, err := os.Stat(tar)
		if err != nil {
			return Layer{}, err
		}
		p := layerpack.Packed{Blob: src.DiffID, DiffID: src.DiffID, BlobSize: fi.Size(), TarSize: fi.Size()}
		err = in.keepBlob(ctx, nil, filepath.Dir(tar), p)
		return Layer{DiffID: src.DiffID, Descriptor: ocispec.Descriptor{MediaType: mediaType(layerpack.Plain), Digest: p.Blob, Size: p.BlobSize}}, err
	}
	p, err := in.s.Spool(ctx, r)
	if err != nil {
		return Layer{}, err
	}
	defer p.Close()
	src.Spool = p
	if src.Blob != "" && src.Blob.Algorithm() != digest.SHA256 {
		d := ocispec.Descriptor{Digest: src.Blob, Size: p.Size}
		if err := in.Blob(ctx, d, p.NewReader()); err != nil {
			return Layer{}, err
		}
		d.MediaType = mediaType(c)
		return Layer{DiffID: src.DiffID, Descriptor: d}, nil
	}
	return in.spooledLayer(ctx, src)
}

func (s *Store) layerTar(diffID digest.Digest) string {
	return filepath.Join(s.layerPath(diffID), cow.TarName)
}

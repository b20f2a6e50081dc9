package store

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/layerpack"
)

// A Hold keeps blobs from being removed while they are read: each is leased
// from the moment it was asked for until Close. Nothing is written for it, so
// that the store may be read-only.
type Hold struct{ in Ingest }

// Hold begins to hold blobs. The caller closes it.
func (s *Store) Hold() *Hold { return &Hold{Ingest{s: s}} }

// Close lets go of the blobs.
func (h *Hold) Close() { h.in.Close() }

// Blob holds a blob; fs.ErrNotExist, wrapped, when it is not here with the size
// that its descriptor has.
func (h *Hold) Blob(ctx context.Context, d ocispec.Descriptor) error {
	_, err := h.size(ctx, d)
	return err
}

// size holds a blob and tells how large it is, which a descriptor of size 0
// leaves open.
func (h *Hold) size(ctx context.Context, d ocispec.Descriptor) (int64, error) {
	if err := checkDescriptor(d); err != nil {
		return 0, err
	}
	want := d.Size
	if want == 0 {
		want = -1
	}
	f, err := h.in.s.leaseBlob(ctx, d.Digest, want)
	if err != nil {
		return 0, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	h.in.hold(f)
	fi, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	return fi.Size(), nil
}

// Document holds a small blob and reads it whole; see [Source].
func (h *Hold) Document(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if err := h.Blob(ctx, d); err != nil {
		return nil, err
	}
	return h.in.s.Document(ctx, d)
}

// Open reads a blob that is held. Its bytes are verified on the way: at their
// end a reader of others answers layerpack.ErrDigest instead of io.EOF.
func (h *Hold) Open(d digest.Digest) (io.ReadCloser, error) {
	f, err := openObject(h.in.s.blobPath(d))
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d, err)
	}
	return &verified{f, d, d.Algorithm().Hash()}, nil
}

// verified is a reader that knows what it should have read.
type verified struct {
	io.ReadCloser
	want digest.Digest
	h    hash.Hash
}

func (v *verified) Read(b []byte) (int, error) {
	n, err := v.ReadCloser.Read(b)
	v.h.Write(b[:n])
	if errors.Is(err, io.EOF) {
		if got := digest.NewDigest(v.want.Algorithm(), v.h); got != v.want {
			return n, damagedHint(fmt.Errorf("blob %s: %w: it is %s", v.want, layerpack.ErrDigest, got))
		}
	}
	return n, err
}

// A Tree is what a target leads to, each blob once and with its size: documents
// before what they name.
type Tree struct {
	Blobs    []ocispec.Descriptor
	Manifest Manifest // the image for the platform that was asked for
}

// Tree holds everything that a target leads to and lists it. What belongs to
// other platforms than that of the image that is chosen may be missing, and is
// then left out.
func (h *Hold) Tree(ctx context.Context, target ocispec.Descriptor, p ocispec.Platform) (Tree, error) {
	m, err := ReadTarget(ctx, h, target, p)
	if err != nil {
		return Tree{}, damagedHint(err)
	}
	t := Tree{Manifest: m}
	err = t.add(ctx, h, target, 0)
	return t, damagedHint(err)
}

func (t *Tree) add(ctx context.Context, h *Hold, d ocispec.Descriptor, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("%s: %w: indexes nested too deep", d.Digest, ErrInvalid)
	}
	raw, err := h.Document(ctx, d)
	if err != nil {
		return err
	}
	doc, err := parseDocument(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", d.Digest, err)
	}
	before := len(t.Blobs)
	if err := t.blob(ctx, h, d); err != nil {
		return err
	}
	if doc.Manifests != nil {
		x, err := doc.index()
		if err != nil {
			return fmt.Errorf("%s: %w", d.Digest, err)
		}
		for _, c := range x.Manifests {
			err := t.add(ctx, h, c, depth+1)
			if err != nil && (c.Digest == t.Manifest.Descriptor.Digest || !errors.Is(err, fs.ErrNotExist)) {
				return err
			}
		}
		return nil
	}
	m, err := doc.manifest()
	if err != nil && !errors.Is(err, ErrUnsupported) {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	for _, b := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if err := t.blob(ctx, h, b); err != nil {
			t.Blobs = t.Blobs[:before]
			return err
		}
	}
	return nil
}

func (t *Tree) blob(ctx context.Context, h *Hold, d ocispec.Descriptor) error {
	for _, have := range t.Blobs {
		if have.Digest == d.Digest {
			return nil
		}
	}
	var err error
	if d.Size, err = h.size(ctx, d); err != nil {
		return err
	}
	t.Blobs = append(t.Blobs, d)
	return nil
}

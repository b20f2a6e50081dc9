package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/internal/durable"
	"github.com/cfs-project/cfs/internal/reference"
)

// An Ingest brings an image into the store: its blobs and layers in any order
// and in parallel, then Commit. Whatever it brought or found there is leased
// until Close, so that a Remove at the same time takes nothing from under it.
type Ingest struct {
	s      *Store
	mu     sync.Mutex
	leases []*os.File // protected by mu
}

// Begin starts bringing an image in. The caller closes the Ingest.
func (s *Store) Begin(ctx context.Context) (*Ingest, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	return &Ingest{s: s}, nil
}

// Close drops the leases. What was not committed may be removed by the next Remove.
func (in *Ingest) Close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, f := range in.leases {
		f.Close()
	}
	in.leases = nil
}

func (in *Ingest) hold(f *os.File) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.leases = append(in.leases, f)
}

// HasBlob tells whether the blob is here, and leases it if so.
func (in *Ingest) HasBlob(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	if err := checkDescriptor(d); err != nil {
		return false, err
	}
	f, err := in.s.leaseBlob(ctx, d.Digest, d.Size)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	in.hold(f)
	return true, nil
}

// Blob brings a blob that is no layer of this platform, or takes the one that
// is here. Bytes that are not those of the descriptor leave nothing.
func (in *Ingest) Blob(ctx context.Context, d ocispec.Descriptor, r io.Reader) error {
	if have, err := in.HasBlob(ctx, d); have || err != nil {
		return err
	}
	t, err := in.s.tempFile("blob")
	if err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	defer t.discard()
	h := d.Digest.Algorithm().Digester()
	n, err := io.Copy(io.MultiWriter(&durable.Writer{File: t.f}, h.Hash()), io.LimitReader(&ctxReader{ctx, r}, d.Size+1))
	switch {
	case err != nil:
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	case n != d.Size:
		return fmt.Errorf("blob %s: %w: not the %d bytes of its descriptor", d.Digest, ErrInvalid, d.Size)
	case h.Digest() != d.Digest:
		return fmt.Errorf("blob %s: %w: its bytes have the digest %s", d.Digest, ErrInvalid, h.Digest())
	}
	if err := t.f.Sync(); err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	f, err := in.s.publishBlob(ctx, t, d.Digest, n)
	if err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	in.hold(f)
	return nil
}

// Bytes brings a blob that is in memory and returns its descriptor.
func (in *Ingest) Bytes(ctx context.Context, mediaType string, raw []byte) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	return d, in.Blob(ctx, d, bytes.NewReader(raw))
}

// A Displaced is a name that a Commit took from another image.
type Displaced struct {
	Name reference.Named
	ID   digest.Digest // of the image that had it
}

// Commit makes target an image of the store, under names or, without any,
// nameless. Everything it refers to was brought by this Ingest. It is the
// moment the image exists: index.json changes at once, for all names.
func (in *Ingest) Commit(ctx context.Context, target ocispec.Descriptor, names ...reference.Named) ([]Displaced, error) {
	return in.s.commit(ctx, target, names)
}

func (s *Store) commit(ctx context.Context, target ocispec.Descriptor, names []reference.Named) ([]Displaced, error) {
	var out []Displaced
	err := s.locked(ctx, func(x *index, write func() error) error {
		if len(names) == 0 {
			x.claim(target, nil)
		}
		for _, n := range names {
			n = reference.TagNameOnly(n)
			before := x.claim(target, n)
			if before == nil {
				continue
			}
			if m, err := ReadTarget(ctx, s, *before, s.platform); err == nil {
				out = append(out, Displaced{Name: n, ID: m.Manifest.Config.Digest})
			}
		}
		return write()
	})
	if err != nil {
		return nil, fmt.Errorf("name image %s: %w", target.Digest, err)
	}
	return out, nil
}

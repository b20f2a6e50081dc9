package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	_ "crypto/sha512" // digests of that algorithm

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/internal/durable"
)

// Document reads a manifest, index or config of the store; see [Source].
func (s *Store) Document(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if err := checkDescriptor(d); err != nil {
		return nil, err
	}
	f, err := openObject(s.blobPath(d.Digest))
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	defer f.Close()
	return ReadDocument(f, d)
}

// ReadDocument reads a small blob whole and verifies it against its
// descriptor. A descriptor of size 0 has no size to verify.
func ReadDocument(r io.Reader, d ocispec.Descriptor) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxDocument+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("blob %s: %w", d.Digest, err)
	case len(raw) > MaxDocument:
		return nil, fmt.Errorf("blob %s: %w: larger than %d MiB", d.Digest, ErrInvalid, MaxDocument>>20)
	case d.Size != 0 && int64(len(raw)) != d.Size:
		return nil, fmt.Errorf("blob %s: %w: %d bytes instead of %d", d.Digest, ErrInvalid, len(raw), d.Size)
	case d.Digest.Algorithm().FromBytes(raw) != d.Digest:
		return nil, fmt.Errorf("blob %s: %w: its bytes have another digest", d.Digest, ErrInvalid)
	}
	return raw, nil
}

// leaseBlob leases a blob that is there with the right size; size < 0 is any.
// fs.ErrNotExist means that it must be brought.
func (s *Store) leaseBlob(ctx context.Context, d digest.Digest, size int64) (*os.File, error) {
	f, err := lease(ctx, s.blobPath(d))
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && (!fi.Mode().IsRegular() || size >= 0 && fi.Size() != size) {
		err = fmt.Errorf("blob %s is damaged: %w", d, fs.ErrNotExist)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// publishBlob gives a synced temp the name of its digest and returns the
// lease. A blob that is there already, whole, wins; a damaged one is replaced.
func (s *Store) publishBlob(ctx context.Context, t *temp, d digest.Digest, size int64) (*os.File, error) {
	path := s.blobPath(d)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := t.f.Chmod(0o644); err != nil {
		return nil, err
	}
	for {
		f, err := t.publish(path)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		f, err = s.leaseBlob(ctx, d, size)
		if err == nil {
			t.discard()
			return f, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// linkBlob gives a file below tmp/ the name of its digest beside the one it has.
func (s *Store) linkBlob(ctx context.Context, file string, d digest.Digest, size int64) (*os.File, error) {
	path := s.blobPath(d)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	for {
		err := os.Link(file, path)
		if err == nil {
			if err = durable.SyncDir(filepath.Dir(path)); err != nil {
				return nil, err
			}
		} else if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		f, err := s.leaseBlob(ctx, d, size)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

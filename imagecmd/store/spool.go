package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/durable"
)

// A Spool is a stream that was put on disk before it was known what it is. It
// becomes a blob, and if it is plain a layer, without being copied again.
type Spool struct {
	mu     sync.Mutex
	t      *temp         // protected by mu once it is shared
	Digest digest.Digest // sha256 of what it holds
	Size   int64         // bytes
}

// Spool reads r to its end. The caller closes the spool.
func (s *Store) Spool(ctx context.Context, r io.Reader) (*Spool, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	t, err := s.tempFile("spool")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	h := digest.SHA256.Digester()
	n, err := io.Copy(io.MultiWriter(&durable.Writer{File: t.f}, h.Hash()), &ctxReader{ctx, r})
	if err == nil {
		err = t.f.Sync()
	}
	if err != nil {
		t.discard()
		return nil, fmt.Errorf("spool: %w", err)
	}
	return &Spool{t: t, Digest: h.Digest(), Size: n}, nil
}

// NewReader reads the spool from its beginning. It is valid until Close.
func (p *Spool) NewReader() io.Reader { return io.NewSectionReader(p.t.f, 0, p.Size) }

// Close removes what did not become a blob.
func (p *Spool) Close() { p.t.discard() }

// isNoLink tells that hard links can't be had here: another filesystem, one
// without them, or one inode with too many.
func isNoLink(err error) bool {
	return errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EMLINK)
}

// copyInto writes what a file holds into a temp.
func copyInto(ctx context.Context, t *temp, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(t.f, &ctxReader{ctx, f}); err != nil {
		return err
	}
	return t.f.Sync()
}

package store

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/layerpack"
)

// follower reads a partial from its beginning, and waits for what is to come.
type follower struct {
	ctx context.Context
	p   *Partial
	at  int64
}

func (r *follower) Read(b []byte) (int, error) {
	p := r.p
	p.mu.Lock()
	if r.waits() {
		stop := context.AfterFunc(r.ctx, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.more.Broadcast()
		})
		for r.waits() {
			p.more.Wait()
		}
		stop()
	}
	here, err := p.n, p.err
	p.mu.Unlock()
	switch {
	case r.ctx.Err() != nil:
		return 0, context.Cause(r.ctx)
	case r.at < here:
		n, err := p.t.f.ReadAt(b[:min(int64(len(b)), here-r.at)], r.at)
		r.at += int64(n)
		if n > 0 {
			err = nil
		}
		return n, err
	case here == p.desc.Size:
		return 0, io.EOF
	}
	return 0, err
}

// waits tells that there is nothing to read yet, with p.mu held.
func (r *follower) waits() bool {
	p := r.p
	return r.at == p.n && p.n < p.desc.Size && p.err == nil && r.ctx.Err() == nil
}

// PartialLayer makes a layer of a partial, in one pass with its arrival: it is
// unpacked as far as it has come. Of src only what is known of the layer and
// its bounds count; its diff ID must be among that. layerpack.ErrDigest: the
// bytes are not the blob's, and the partial is still there to be Reset.
func (in *Ingest) PartialLayer(ctx context.Context, src LayerSource, p *Partial) (Layer, error) {
	src.Blob, src.Size, src.Spool = p.desc.Digest, p.desc.Size, nil
	src.Open = func() (io.ReadCloser, error) { return io.NopCloser(&follower{ctx: ctx, p: p}), nil }
	if src.Blob.Algorithm() != digest.SHA256 {
		return in.Layer(ctx, src) // layerpack verifies only that one as it goes
	}
	for _, d := range []digest.Digest{src.DiffID, src.Blob} {
		if err := checkDigest(d); err != nil {
			return Layer{}, err
		}
	}
	l, err := in.partialLayer(ctx, src, p)
	return l, layerError(src, err)
}

func (in *Ingest) partialLayer(ctx context.Context, src LayerSource, p *Partial) (Layer, error) {
	s := in.s.with(src)
	packed := false
	f, err := s.buildLayer(ctx, src.DiffID, func(dir string) (layerpack.Packed, error) {
		if src.Blob == src.DiffID { // plain: the blob is the tar
			if err := in.publishPartial(ctx, p, true); err != nil {
				return layerpack.Packed{}, err
			}
			packed = true
			return s.packBlob(ctx, dir, src, true)
		}
		o := s.packOptions()
		o.Blob, o.DiffID, o.Progress = src.Blob, src.DiffID, src.Progress
		l, err := layerpack.Pack(ctx, &follower{ctx: ctx, p: p}, dir, o)
		if err != nil {
			return l, err
		}
		packed = true
		return l, in.publishPartial(ctx, p, false)
	})
	if err != nil {
		return Layer{}, err
	}
	in.hold(f)
	if !packed {
		// The layer is here; its blob, in this compression, is not.
		if err := in.publishPartial(ctx, p, true); err != nil {
			return Layer{}, err
		}
	}
	src.Open = noBlob(src.Blob)
	return in.layer(ctx, src)
}

// Verify holds the bytes against the digest, as they arrive; layerpack.ErrDigest:
// they have another.
func (p *Partial) Verify(ctx context.Context) error {
	have, err := hashReader(ctx, p.desc.Digest.Algorithm(), &follower{ctx: ctx, p: p})
	if err == nil && have != p.desc.Digest {
		err = fmt.Errorf("%w: it is %s", layerpack.ErrDigest, have)
	}
	return err
}

// publishPartial makes a whole partial the blob. Unless its bytes were hashed on
// their way, they are now, as they arrive.
func (in *Ingest) publishPartial(ctx context.Context, p *Partial, verify bool) error {
	if verify {
		if err := p.Verify(ctx); err != nil {
			return err
		}
	}
	if err := p.t.f.Sync(); err != nil {
		return err
	}
	f, err := in.s.publishBlob(ctx, p.t, p.desc.Digest, p.desc.Size)
	if err != nil {
		return err
	}
	p.t.done = true
	in.hold(f)
	// Somebody who waited for the partial may have had its lock for a moment, just
	// when it became a lease; flock(2) converts in two steps.
	have, err := in.HasBlob(ctx, p.desc)
	if err == nil && !have {
		err = fmt.Errorf("it was removed meanwhile: %w", fs.ErrNotExist)
	}
	return err
}

// Open reads a blob at any place, and keeps it from being removed, until the
// ingest is closed. fs.ErrNotExist, wrapped: it is not here.
func (in *Ingest) Open(ctx context.Context, d ocispec.Descriptor) (io.ReaderAt, error) {
	f, err := in.s.leaseBlob(ctx, d.Digest, d.Size)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	in.hold(f)
	return f, nil
}

package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/layerpack"
)

// layerOf is a layer whose compressed form is large enough to come in pieces.
func layerOf(t *testing.T) (blob []byte, d ocispec.Descriptor, diffID digest.Digest) {
	noise := make([]byte, 1<<20)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(noise)
	plain := it.Tar(t, it.Entry{Name: "noise", Data: string(noise)})
	blob = it.Gzip(t, plain)
	d = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromBytes(blob), Size: int64(len(blob))}
	return blob, d, digest.FromBytes(plain)
}

func unzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func begin(t *testing.T, s *Store) *Ingest {
	t.Helper()
	in, err := s.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.Close)
	return in
}

func partial(t *testing.T, in *Ingest, d ocispec.Descriptor) *Partial {
	t.Helper()
	p, err := in.Partial(context.Background(), d)
	if err != nil || p == nil {
		t.Fatalf("partial %v: %v", p, err)
	}
	return p
}

// What has come of a blob is there for the next ingest, and a layer is made of
// both halves while the second is still coming.
func TestPartialGoesOn(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	blob, d, diffID := layerOf(t)
	in := begin(t, s)
	p := partial(t, in, d)
	half := len(blob) / 2
	if _, err := p.Write(blob[:half]); err != nil {
		t.Fatal(err)
	}
	p.Close()
	in.Close()

	in = begin(t, s) // sweeps tmp/
	p = partial(t, in, d)
	if p.Len() != int64(half) {
		t.Fatalf("%d bytes are left of %d", p.Len(), half)
	}
	done := make(chan error)
	go func() {
		_, err := in.PartialLayer(ctx, LayerSource{DiffID: diffID}, p)
		done <- err
	}()
	for rest := blob[half:]; len(rest) > 0; {
		n := min(len(rest), 10_000)
		if _, err := p.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.Close()
	if got, err := os.ReadFile(s.blobPath(d.Digest)); err != nil || !bytes.Equal(got, blob) {
		t.Errorf("the blob differs: %v", err)
	}
	if _, err := s.readLayerInfo(diffID); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(s.partials()); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	if p, err := in.Partial(ctx, d); p != nil || err != nil {
		t.Errorf("a blob that is here is partial: %v, %v", p, err)
	}
}

// A layer that is packed already gets its blob all the same, and a plain one is
// one file with two names.
func TestPartialOfPackedAndPlain(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	blob, d, diffID := layerOf(t)
	plain := it.Tar(t, it.Entry{Name: "a", Data: "a"})
	for _, tc := range []struct {
		blob   []byte
		diffID digest.Digest
	}{{blob, diffID}, {it.Zstd(t, unzip(t, blob)), diffID}, {plain, digest.FromBytes(plain)}} {
		in := begin(t, s)
		d = ocispec.Descriptor{Digest: digest.FromBytes(tc.blob), Size: int64(len(tc.blob))}
		p := partial(t, in, d)
		if _, err := p.Write(tc.blob); err != nil {
			t.Fatal(err)
		}
		l, err := in.PartialLayer(ctx, LayerSource{DiffID: tc.diffID}, p)
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
		if l.Descriptor.Digest != d.Digest || l.Descriptor.Size != d.Size {
			t.Errorf("the layer is %v", l.Descriptor)
		}
	}
	a, err := os.Stat(s.blobPath(digest.FromBytes(plain)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.Stat(s.layerTar(digest.FromBytes(plain)))
	if err != nil || !os.SameFile(a, b) {
		t.Errorf("a plain layer is two files: %v", err)
	}
}

// Wrong bytes leave no blob and no layer; after Reset the right ones do.
func TestPartialOfWrongBytes(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	blob, d, diffID := layerOf(t)
	in := begin(t, s)
	p := partial(t, in, d)
	bad := bytes.Clone(blob)
	bad[len(bad)-1] ^= 1
	if _, err := p.Write(bad); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("x")); !errors.Is(err, ErrInvalid) {
		t.Errorf("one byte too many: %v", err)
	}
	if _, err := in.PartialLayer(ctx, LayerSource{DiffID: diffID}, p); !errors.Is(err, layerpack.ErrDigest) && !errors.Is(err, layerpack.ErrInvalid) {
		t.Errorf("wrong bytes: %v", err)
	}
	if have, _ := in.HasBlob(ctx, d); have {
		t.Error("wrong bytes became a blob")
	}
	if err := p.Reset(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(blob); err != nil {
		t.Fatal(err)
	}
	if _, err := in.PartialLayer(ctx, LayerSource{DiffID: diffID}, p); err != nil {
		t.Error(err)
	}
	p.Close()
}

// A second ingest waits for the first, and goes on where that one stopped.
func TestPartialIsOnes(t *testing.T) {
	s := newStore(t)
	blob, d, _ := layerOf(t)
	one, two := begin(t, s), begin(t, s)
	p := partial(t, one, d)
	got := make(chan *Partial)
	go func() {
		p, err := two.Partial(context.Background(), d)
		if err != nil {
			t.Error(err)
		}
		got <- p
	}()
	if _, err := p.Write(blob[:100]); err != nil {
		t.Fatal(err)
	}
	p.Close()
	q := <-got
	if q.Len() != 100 {
		t.Errorf("%d bytes", q.Len())
	}
	q.Close()
	short, cancel := context.WithCancel(context.Background())
	p = partial(t, one, d)
	defer p.Close()
	cancel()
	if _, err := two.Partial(short, d); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that is given up: %v", err)
	}
}

// What no more will come of, its reader is told.
func TestPartialFails(t *testing.T) {
	s := newStore(t)
	blob, d, diffID := layerOf(t)
	in := begin(t, s)
	p := partial(t, in, d)
	defer p.Close()
	if _, err := p.Write(blob[:100]); err != nil {
		t.Fatal(err)
	}
	gone := errors.New("the network is gone")
	p.Fail(gone)
	if _, err := in.PartialLayer(context.Background(), LayerSource{DiffID: diffID}, p); !errors.Is(err, gone) {
		t.Errorf("the reader was told %v", err)
	}
	p.Fail(nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := in.PartialLayer(ctx, LayerSource{DiffID: diffID}, p); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled reader was told %v", err)
	}
}

// Old partials go, unless somebody has them; those larger than the blob start anew.
func TestPartialAge(t *testing.T) {
	s := newStore(t)
	_, d, _ := layerOf(t)
	in := begin(t, s)
	p := partial(t, in, d)
	defer p.Close()
	stale := filepath.Join(s.partials(), "sha256-stale")
	if err := os.WriteFile(stale, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-PartialAge - time.Hour)
	for _, path := range []string{stale, p.t.path} {
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
	}
	other := d
	other.Digest, other.Size = digest.FromString("other"), 5
	if err := os.WriteFile(filepath.Join(s.partials(), "sha256-"+other.Digest.Encoded()), []byte("123456"), 0o600); err != nil {
		t.Fatal(err)
	}
	q := partial(t, in, other)
	defer q.Close()
	if q.Len() != 0 {
		t.Errorf("a partial larger than its blob keeps %d bytes", q.Len())
	}
	if _, err := os.Lstat(stale); err == nil {
		t.Error("a stale partial stays")
	}
	if _, err := os.Lstat(p.t.path); err != nil {
		t.Errorf("a partial in use: %v", err)
	}
}

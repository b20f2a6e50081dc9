package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// PartialAge is how long what has come of a blob is kept for somebody to fetch
// the rest.
const PartialAge = 7 * 24 * time.Hour

// A Partial is a blob that is being fetched. Its bytes are in a file of
// partial/, named by the digest, which stays there when the process is killed:
// whoever asks for the blob next goes on at its end. The file is locked, so that
// of all processes that want one blob only one fetches it. When all is there and
// verified, it becomes the blob with a rename.
//
// One goroutine writes while another unpacks what is there (Ingest.PartialLayer).
type Partial struct {
	s    *Store
	desc ocispec.Descriptor
	t    *temp // its lock and its file

	mu   sync.Mutex // protects the rest
	more *sync.Cond
	n    int64 // bytes that are in the file
	err  error // why no more will come
}

func (s *Store) partials() string { return filepath.Join(s.root, "partial") }

// Partial claims what is there of a blob, and waits for another process that
// fetches it; nil when the blob is here whole, which is then leased. The caller
// closes it.
func (in *Ingest) Partial(ctx context.Context, d ocispec.Descriptor) (*Partial, error) {
	if have, err := in.HasBlob(ctx, d); have || err != nil {
		return nil, err
	}
	dir := in.s.partials()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	if err := sweepPartials(dir, time.Now().Add(-PartialAge)); err != nil {
		return nil, fmt.Errorf("sweep %s: %w", dir, err)
	}
	path := filepath.Join(dir, d.Digest.Algorithm().String()+"-"+d.Digest.Encoded())
	for {
		f, err := os.OpenFile(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, err
		}
		at, err := flockAt(ctx, f, path)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("wait for blob %s, which another process fetches: %w", d.Digest, err)
		}
		if !at {
			f.Close() // before the blob is leased: it may be this very file, by its new name
		}
		if have, err := in.HasBlob(ctx, d); have || err != nil {
			if at {
				os.Remove(path)
				f.Close()
			}
			return nil, err
		}
		if !at {
			continue
		}
		p, err := newPartial(in.s, d, &temp{path: path, f: f})
		if err != nil {
			f.Close()
		}
		return p, err
	}
}

func newPartial(s *Store, d ocispec.Descriptor, t *temp) (*Partial, error) {
	p := &Partial{s: s, desc: d, t: t}
	p.more = sync.NewCond(&p.mu)
	fi, err := t.f.Stat()
	if err != nil {
		return nil, err
	}
	if p.n = fi.Size(); p.n > d.Size {
		return p, p.Reset()
	}
	return p, nil
}

// sweepPartials removes what nobody has asked for since then.
func sweepPartials(dir string, since time.Time) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fi, err := e.Info(); err != nil || fi.ModTime().After(since) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := seize(path)
		if err != nil {
			return err
		}
		if f != nil {
			err = os.Remove(path)
			f.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Len is how many bytes are here; the next one is to be fetched from there.
func (p *Partial) Len() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// Write adds bytes at the end. More than the blob has are refused.
func (p *Partial) Write(b []byte) (int, error) {
	n := p.Len() // only Write and Reset, of one goroutine, change it
	if n+int64(len(b)) > p.desc.Size {
		return 0, fmt.Errorf("blob %s: %w: more than the %d bytes of its descriptor", p.desc.Digest, ErrInvalid, p.desc.Size)
	}
	wrote, err := p.t.f.WriteAt(b, n)
	p.mu.Lock()
	p.n += int64(wrote)
	p.mu.Unlock()
	p.more.Broadcast()
	return wrote, err
}

// Fail tells who reads that no more will come, and why. nil lets it wait again.
func (p *Partial) Fail(err error) {
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	p.more.Broadcast()
}

// Reset forgets what is here, as what is verified to be wrong. Nobody may be
// reading.
func (p *Partial) Reset() error {
	if err := p.t.f.Truncate(0); err != nil {
		return fmt.Errorf("blob %s: %w", p.desc.Digest, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n, p.err = 0, nil
	return nil
}

// Close lets go of the file, which stays unless it became the blob.
func (p *Partial) Close() {
	if !p.t.done {
		p.t.done = true
		p.t.f.Close()
	}
}

package layerpack

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/internal/durable"
)

// Sizes of the pipeline, in bytes and pieces. Together they bound its memory
// to some 3 MiB besides the decoder's.
const (
	inputSize   = 128 << 10
	inputPieces = 4
	tarSize     = 256 << 10
	tarPieces   = 8
)

// pipeline is one run of Pack:
//
//	read ──► decode ──┬──► hash
//	(hash, sink)      └──► write, scan
//
// one goroutine each, the first being the caller's. Pieces go around between
// a free list and their users; a decoder that can lends its own buffer instead,
// and waits for it. The first failure cancels all.
type pipeline struct {
	o      PackOptions
	ctx    context.Context
	cancel context.CancelCauseFunc
	files  *files
	out    Packed

	input     chan []byte // filled pieces of what arrives
	inputFree chan []byte
	read      atomic.Int64 // bytes that arrived
	readErr   error        // what ended the input, nil at its end; set before input is closed

	toHash, toWrite chan *piece
	cut             bool // decode failed; set before toWrite is closed
	free            chan *piece
	tarHash         hash.Hash
}

// piece is a part of the tar that two goroutines look at.
type piece struct {
	b    []byte
	n    int
	used atomic.Int32
	home chan *piece // where it goes when both are done
}

func newPipeline(ctx context.Context, o PackOptions, f *files) *pipeline {
	if o.MaxExpansion == 0 {
		o.MaxExpansion = DefaultMaxExpansion
	}
	if o.MaxSize <= 0 {
		o.MaxSize = DefaultMaxSize
	}
	o.MaxSize = min(o.MaxSize, maxTar)
	p := &pipeline{
		o: o, files: f,
		input:     make(chan []byte, inputPieces),
		inputFree: make(chan []byte, inputPieces),
		toHash:    make(chan *piece, tarPieces),
		toWrite:   make(chan *piece, tarPieces),
		free:      make(chan *piece, tarPieces),
		tarHash:   sha256.New(),
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	for range inputPieces {
		p.inputFree <- make([]byte, inputSize)
	}
	return p
}

// run moves the whole layer through.
func (p *pipeline) run(r io.Reader) (Packed, error) {
	defer p.cancel(nil)
	var wg sync.WaitGroup
	for _, stage := range []func() error{p.decode, p.hash, p.write} {
		wg.Go(func() {
			if err := stage(); err != nil {
				p.cancel(err)
			}
		})
	}
	if err := p.arrive(r); err != nil {
		p.cancel(err)
	}
	wg.Wait()
	if p.ctx.Err() != nil {
		return Packed{}, context.Cause(p.ctx)
	}
	p.out.DiffID = digest.NewDigest(digest.SHA256, p.tarHash)
	return p.out, nil
}

// arrive reads, hashes and passes on what comes in.
func (p *pipeline) arrive(r io.Reader) error {
	defer close(p.input)
	sum := sha256.New()
	for {
		b, err := take(p, p.inputFree)
		if err != nil {
			return p.ended(err)
		}
		n, err := r.Read(b[:inputSize])
		if n > 0 {
			sum.Write(b[:n])
			if p.o.BlobSink != nil {
				if _, err := p.o.BlobSink.Write(b[:n]); err != nil {
					return p.ended(fmt.Errorf("keep layer: %w", err))
				}
			}
			total := p.read.Add(int64(n))
			if p.o.Progress != nil {
				p.o.Progress(total)
			}
			if err := give(p, p.input, b[:n]); err != nil {
				return p.ended(err)
			}
		} else {
			p.inputFree <- b // never blocks: b came from there
		}
		if err == io.EOF {
			p.out.Blob = digest.NewDigest(digest.SHA256, sum)
			p.out.BlobSize = p.read.Load()
			return nil
		}
		if err != nil {
			return p.ended(fmt.Errorf("read layer: %w", err))
		}
	}
}

// ended notes why the input ends early, so that no decoder can mistake it for
// a truncated layer.
func (p *pipeline) ended(err error) error {
	p.readErr = err
	return err
}

// decode turns the input into pieces of the tar.
func (p *pipeline) decode() error {
	defer close(p.toHash)
	defer close(p.toWrite)
	in := &inputReader{p: p}
	err := p.decodeFrom(bufio.NewReaderSize(in, 64<<10))
	if in.err != nil {
		err = in.err
	}
	p.cut = err != nil
	return err
}

func (p *pipeline) decodeFrom(src *bufio.Reader) error {
	c, err := Detect(src)
	if err != nil {
		return err
	}
	p.out.Compression = c
	d, err := decompress(src, c, p.o.DiffID != "")
	if err != nil {
		return err
	}
	defer d.Close()
	if z, ok := d.(zstdReader); ok {
		l := lender{p: p, piece: piece{home: make(chan *piece, 1)}}
		if _, err := z.WriteTo(&l); err != nil && l.err == nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return l.err
	}
	for range tarPieces {
		p.free <- &piece{b: make([]byte, tarSize), home: p.free}
	}
	for {
		b, err := take(p, p.free)
		if err != nil {
			return err
		}
		b.n, err = io.ReadFull(d, b.b)
		if err := p.pass(b); err != nil {
			return err
		}
		// ErrUnexpectedEOF is ReadFull's own: a decoder wraps its.
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
}

// pass hands a piece to both its users.
func (p *pipeline) pass(b *piece) error {
	p.out.TarSize += int64(b.n)
	if err := p.bounded(); err != nil || b.n == 0 {
		return err
	}
	b.used.Store(2)
	return errors.Join(give(p, p.toHash, b), give(p, p.toWrite, b))
}

// lender passes on what a decoder has in its own memory.
type lender struct {
	p     *pipeline
	piece piece
	err   error // that is not the decoder's
}

func (l *lender) Write(b []byte) (int, error) {
	l.piece.b, l.piece.n = b, len(b)
	if l.err = l.p.pass(&l.piece); l.err == nil && len(b) > 0 {
		_, l.err = take(l.p, l.piece.home)
	}
	if l.err != nil {
		return 0, l.err
	}
	return len(b), nil
}

// bounded refuses a tar that grows out of proportion.
func (p *pipeline) bounded() error {
	size, read := p.out.TarSize, p.read.Load()
	if size > p.o.MaxSize {
		return fmt.Errorf("%w: more than %d bytes", ErrBomb, p.o.MaxSize)
	}
	if x := p.o.MaxExpansion; x > 0 && size > ExpansionFloor && size/x > read {
		return fmt.Errorf("%w: %d bytes unpack to more than %d times as many", ErrBomb, read, x)
	}
	return nil
}

func (p *pipeline) hash() error {
	for b := range p.toHash {
		p.tarHash.Write(b.b[:b.n])
		p.release(b)
	}
	return nil
}

// write writes the tar and its table of contents.
func (p *pipeline) write() error {
	s, t := newTOCScanner(p.files.toc)
	tar := durable.Writer{File: p.files.tar}
	for b := range p.toWrite {
		if _, err := tar.Write(b.b[:b.n]); err != nil {
			return fmt.Errorf("write tar: %w", err)
		}
		if _, err := s.Write(b.b[:b.n]); err != nil {
			return err
		}
		p.release(b)
	}
	if p.cut {
		return nil // decode says why
	}
	if err := s.finish(); err != nil {
		return err
	}
	p.out.Entries = s.count
	return t.finish(s)
}

func (p *pipeline) release(b *piece) {
	if b.used.Add(-1) == 0 {
		b.home <- b // never blocks: there is room for all that come from there
	}
}

// inputReader reads the pieces that arrived.
type inputReader struct {
	p        *pipeline
	b, whole []byte
	err      error // that ended the input, unless its end
}

func (i *inputReader) Read(to []byte) (int, error) {
	for len(i.b) == 0 {
		if i.whole != nil {
			i.p.inputFree <- i.whole[:inputSize]
			i.whole = nil
		}
		if i.err != nil {
			return 0, i.err
		}
		select {
		case b, ok := <-i.p.input:
			if !ok {
				if i.err = i.p.readErr; i.err != nil {
					return 0, i.err
				}
				return 0, io.EOF
			}
			i.b, i.whole = b, b
		case <-i.p.ctx.Done():
			i.err = context.Cause(i.p.ctx)
		}
	}
	n := copy(to, i.b)
	i.b = i.b[n:]
	return n, nil
}

// take and give are receive and send that end with the pipeline.
func take[T any](p *pipeline, c chan T) (v T, err error) {
	select {
	case v = <-c:
		return v, nil
	case <-p.ctx.Done():
		return v, context.Cause(p.ctx)
	}
}

func give[T any](p *pipeline, c chan T, v T) error {
	select {
	case c <- v:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

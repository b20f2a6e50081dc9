package layerpack

import (
	"crypto/sha256"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
)

// sinkChunk is what goes from goroutine to goroutine at once, in bytes, and
// sinkChunks how many of them there are.
const (
	sinkChunk  = 256 << 10
	sinkChunks = 8
)

// A sink takes in a tar and gives w the layer. Reading, hashing the tar,
// compressing it, and hashing and writing the layer go on at the same time:
//
//	write ─chunk─┬─► sha256 of the tar
//	             └─► compressor ─► sha256 of the layer, w
//
// It is for one goroutine.
type sink struct {
	at   *chunk // being filled; nil: none
	made int
	free chan *chunk
	ways []chan *chunk // to the goroutines
	done sync.WaitGroup

	once   sync.Once
	failed atomic.Bool
	err    error // why the layer can't be written; there once failed is true

	tar  hash.Hash
	size int64 // of the tar, bytes
	out  *sinkOut
}

type chunk struct {
	b    []byte // used
	uses atomic.Int32
}

// sinkOut is the last station.
type sinkOut struct {
	w    io.Writer
	sum  hash.Hash // nil: the layer is the tar
	size int64
}

func (o *sinkOut) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	o.size += int64(n)
	if o.sum != nil {
		o.sum.Write(b[:n])
	}
	return n, err
}

func newSink(w io.Writer, c Compression) (*sink, error) {
	s := &sink{free: make(chan *chunk, sinkChunks), tar: sha256.New(), out: &sinkOut{w: w}}
	z, err := NewCompressor(s.out, c)
	if err != nil {
		return nil, err
	}
	if c != Plain {
		s.out.sum = sha256.New()
	}
	s.start(func(b []byte) error { s.tar.Write(b); return nil }, func() error { return nil })
	s.start(func(b []byte) error { _, err := z.Write(b); return err }, z.Close)
	return s, nil
}

// start begins one way. After an error the chunks only pass; end is called in
// any case, for it ends goroutines.
func (s *sink) start(take func([]byte) error, end func() error) {
	way := make(chan *chunk, sinkChunks)
	s.ways = append(s.ways, way)
	s.done.Add(1)
	go func() {
		defer s.done.Done()
		var err error
		for c := range way {
			if err == nil {
				err = take(c.b)
			}
			if err != nil {
				s.fail(err)
			}
			if c.uses.Add(-1) == 0 {
				s.free <- c
			}
		}
		if e := end(); e != nil {
			s.fail(e)
		}
	}()
}

// fail keeps the first error.
func (s *sink) fail(err error) {
	s.once.Do(func() {
		s.err = err
		s.failed.Store(true)
	})
}

// room is where the next bytes of the tar go; see filled.
func (s *sink) room() ([]byte, error) {
	if s.failed.Load() {
		return nil, s.err
	}
	if s.at == nil {
		select {
		case s.at = <-s.free:
		default:
			if s.made < sinkChunks {
				s.made++
				s.at = &chunk{b: make([]byte, 0, sinkChunk)}
			} else {
				s.at = <-s.free
			}
		}
		s.at.b = s.at.b[:0]
	}
	return s.at.b[len(s.at.b):cap(s.at.b)], nil
}

// filled takes in the first n bytes of the room.
func (s *sink) filled(n int) {
	s.at.b = s.at.b[:len(s.at.b)+n]
	s.size += int64(n)
	if len(s.at.b) == cap(s.at.b) {
		s.pass()
	}
}

// pass hands on what is there.
func (s *sink) pass() {
	c := s.at
	s.at = nil
	c.uses.Store(int32(len(s.ways)))
	for _, way := range s.ways {
		way <- c
	}
}

// write takes in b.
func (s *sink) write(b []byte) error {
	for len(b) > 0 {
		room, err := s.room()
		if err != nil {
			return err
		}
		n := copy(room, b)
		s.filled(n)
		b = b[n:]
	}
	return nil
}

// finish ends the layer, which has failed if err is given.
func (s *sink) finish(err error) (Written, error) {
	if s.at != nil {
		s.pass()
	}
	for _, way := range s.ways {
		close(way)
	}
	s.done.Wait()
	if err == nil {
		err = s.err
	}
	if err != nil {
		return Written{}, err
	}
	w := Written{DiffID: digest.NewDigest(digest.SHA256, s.tar), TarSize: s.size, BlobSize: s.out.size}
	if w.Blob = w.DiffID; s.out.sum != nil {
		w.Blob = digest.NewDigest(digest.SHA256, s.out.sum)
	}
	return w, nil
}

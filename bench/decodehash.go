package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Decoding is how a file is decompressed and hashed. The zero value does one
// thing after the other in one goroutine.
type Decoding struct {
	// Pipelined runs the decompression and the two digests beside each other,
	// as layerpack.Pack does.
	Pipelined bool
	// Write, unless empty, is a file that what comes out is also written to,
	// and synced. It implies Pipelined.
	Write string
}

// DecodeAndHash is the least that anybody who receives a layer must do:
// decompress the file and take the digests of what arrived and of what came
// out, which it gives as hexadecimal numbers.
func DecodeAndHash(path string, how Decoding) (d time.Duration, blob, tar string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", "", err
	}
	defer f.Close()
	start := time.Now()
	in, out := sha256.New(), sha256.New()
	if how.Pipelined || how.Write != "" {
		err = decodePipelined(f, in, out, how.Write)
	} else {
		err = decode(bufio.NewReaderSize(io.TeeReader(f, in), 128<<10), func(b []byte) { out.Write(b) })
	}
	return time.Since(start), fmt.Sprintf("%x", in.Sum(nil)), fmt.Sprintf("%x", out.Sum(nil)), err
}

// DecodeAll does it to several files, as many at once as there are workers, the
// largest first, and gives the time until all are done.
func DecodeAll(paths []string, workers int, how Decoding) (time.Duration, error) {
	size := func(path string) (n int64) {
		if st, err := os.Stat(path); err == nil { // else opening it says why
			n = st.Size()
		}
		return n
	}
	todo := make(chan string, len(paths))
	for _, p := range slices.SortedFunc(slices.Values(paths), func(a, b string) int { return cmp.Compare(size(b), size(a)) }) {
		todo <- p
	}
	close(todo)
	start := time.Now()
	var group sync.WaitGroup
	failed := make([]error, workers)
	for i := range workers {
		group.Go(func() {
			for p := range todo {
				_, _, _, err := DecodeAndHash(p, how)
				failed[i] = errors.Join(failed[i], err)
			}
		})
	}
	group.Wait()
	return time.Since(start), errors.Join(failed...)
}

// decodePipelined has a goroutine a stage:
//
//	read and hash what arrives ─► decode ─┬─► hash what comes out
//	                                      └─► write it, if asked
func decodePipelined(f io.Reader, in, out hash.Hash, write string) error {
	var err error
	stages := []func([]byte) error{func(b []byte) error { _, err := out.Write(b); return err }}
	finish := func() error { return nil }
	if write != "" {
		w, err := os.Create(write)
		if err != nil {
			return err
		}
		stages = append(stages, func(b []byte) error { _, err := w.Write(b); return err })
		finish = func() error { return errors.Join(w.Sync(), w.Close()) }
	}
	pr, pw := io.Pipe()
	arrived := make(chan error, 1)
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(in, pw)}, struct{ io.Reader }{f}, make([]byte, 128<<10))
		_ = pw.CloseWithError(err) // never fails
		arrived <- err
	}()

	type piece struct {
		b    []byte
		used atomic.Int32
	}
	const pieces = 8
	free := make(chan *piece, pieces)
	for range pieces {
		free <- &piece{b: make([]byte, 256<<10)}
	}
	var group sync.WaitGroup
	failed := make([]error, len(stages))
	queues := make([]chan *piece, len(stages))
	for i, stage := range stages {
		queues[i] = make(chan *piece, pieces)
		group.Go(func() {
			for p := range queues[i] {
				failed[i] = errors.Join(failed[i], stage(p.b))
				if p.used.Add(-1) == 0 {
					p.b = p.b[:cap(p.b)]
					free <- p
				}
			}
		})
	}
	err = decode(bufio.NewReaderSize(pr, 128<<10), func(b []byte) {
		p := <-free
		p.b = p.b[:copy(p.b, b)]
		p.used.Store(int32(len(queues)))
		for _, q := range queues {
			q <- p
		}
	})
	for _, q := range queues {
		close(q)
	}
	group.Wait()
	_ = pr.CloseWithError(err) // lets the reader go if decoding failed
	return errors.Join(append(failed, err, <-arrived, finish())...)
}

// decode decompresses what its first bytes say is compressed, and hands on
// pieces of up to 256 KiB.
func decode(in *bufio.Reader, each func([]byte)) error {
	magic, err := in.Peek(4)
	if err != nil && err != io.EOF {
		return err
	}
	var r io.Reader = in
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		if r, err = gzip.NewReader(in); err != nil {
			return err
		}
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderLowmem(true))
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	}
	buf := make([]byte, 256<<10)
	for {
		// Not io.ReadFull: its error for a short end is a decoder's for a truncated file.
		n, err := 0, error(nil)
		for n < len(buf) && err == nil {
			var m int
			m, err = r.Read(buf[n:])
			n += m
		}
		if n > 0 {
			each(buf[:n])
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

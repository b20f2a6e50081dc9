package bench

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// DecodeAndHash is the least that anybody who receives a layer must do:
// decompress the file and take the digests of what arrived and of what came
// out. With pipelined, the two digests and the decompression run beside each
// other, as they do in layerpack.Pack; else one after the other in one
// goroutine. It gives the two digests as hexadecimal numbers.
func DecodeAndHash(path string, pipelined bool) (d time.Duration, blob, tar string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", "", err
	}
	defer f.Close()
	start := time.Now()
	in, out := sha256.New(), sha256.New()
	if !pipelined {
		err = decode(path, io.TeeReader(f, in), func(b []byte) { out.Write(b) })
	} else {
		// A stage each: read and hash what arrives ─► decode ─► hash what comes out.
		pr, pw := io.Pipe()
		arrived := make(chan error, 1)
		go func() {
			_, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(in, pw)}, struct{ io.Reader }{f}, make([]byte, 128<<10))
			_ = pw.CloseWithError(err) // never fails
			arrived <- err
		}()
		const pieces = 8
		free, full := make(chan []byte, pieces), make(chan []byte, pieces)
		for range pieces {
			free <- make([]byte, 256<<10)
		}
		var hashed sync.WaitGroup
		hashed.Go(func() {
			for b := range full {
				out.Write(b)
				free <- b[:cap(b)]
			}
		})
		err = decode(path, bufio.NewReaderSize(pr, 128<<10), func(b []byte) {
			c := <-free
			full <- c[:copy(c, b)]
		})
		close(full)
		hashed.Wait()
		_ = pr.CloseWithError(err) // lets the reader go if decoding failed
		if e := <-arrived; err == nil {
			err = e
		}
	}
	return time.Since(start), fmt.Sprintf("%x", in.Sum(nil)), fmt.Sprintf("%x", out.Sum(nil)), err
}

// decode decompresses by the file's name and hands on pieces of up to 256 KiB.
func decode(path string, r io.Reader, each func([]byte)) error {
	switch {
	case strings.HasSuffix(path, ".gz"):
		z, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		r = z
	case strings.HasSuffix(path, ".zst"):
		z, err := zstd.NewReader(r, zstd.WithDecoderLowmem(true))
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			each(buf[:n])
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

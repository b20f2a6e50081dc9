package archive

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/cfs-project/cfs/layerpack"
)

// maxWindow bounds the memory that a zstd stream may ask for, in bytes: the
// window of `zstd --ultra -22 --long=27`.
const maxWindow = 128 << 20

// Decompress takes off one compression, known by its first bytes: gzip, zstd,
// xz or bzip2. What is none of them is passed through, and plain is true. The
// result yields at most maxExpansion times what was read of r, once past
// layerpack.ExpansionFloor, then layerpack.ErrBomb; 0 is the default, < 0 no bound.
func Decompress(r io.Reader, maxExpansion int64) (rc io.ReadCloser, plain bool, err error) {
	in := &counter{r: r}
	br := bufio.NewReaderSize(in, 256<<10)
	magic, err := br.Peek(6)
	if err != nil && err != io.EOF {
		return nil, false, err
	}
	var out io.Reader
	closeOut := func() {}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		out, err = gzip.NewReader(br)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}),
		len(magic) >= 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:4], []byte{0x2a, 0x4d, 0x18}):
		var z *zstd.Decoder
		z, err = zstd.NewReader(br, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(2))
		if err == nil {
			out, closeOut = z, z.Close
		}
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		out, err = xz.ReaderConfig{DictCap: maxWindow}.NewReader(br)
	case bytes.HasPrefix(magic, []byte("BZh")):
		out = bzip2.NewReader(br)
	default:
		return io.NopCloser(br), true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("decompress: %w", err)
	}
	if maxExpansion == 0 {
		maxExpansion = layerpack.DefaultMaxExpansion
	}
	return &bounded{r: out, in: in, max: maxExpansion, close: closeOut}, false, nil
}

type counter struct {
	r    io.Reader
	n    atomic.Int64
	told func(n int64) // may be nil
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	sum := c.n.Add(int64(n))
	if c.told != nil {
		c.told(sum)
	}
	return n, err
}

// bounded ends a stream that expands too much.
type bounded struct {
	r     io.Reader
	in    *counter // read ahead by zstd's goroutine
	out   int64
	max   int64
	close func()
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.out += int64(n)
	if b.max > 0 && b.out > layerpack.ExpansionFloor && b.out/b.max > b.in.n.Load() {
		return n, fmt.Errorf("%w: more than %d times the compressed size", layerpack.ErrBomb, b.max)
	}
	return n, err
}

func (b *bounded) Close() error {
	b.close()
	return nil
}

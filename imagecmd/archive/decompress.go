package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/cfs-project/cfs/layerpack"
)

// Decompress takes off one compression that layerpack knows, by its first
// bytes. What has none is passed through, and plain is true. The result yields
// at most maxExpansion times what was read of r, once past
// layerpack.ExpansionFloor, then layerpack.ErrBomb; 0 is the default, < 0 no bound.
func Decompress(r io.Reader, maxExpansion int64) (rc io.ReadCloser, plain bool, err error) {
	in := &counter{r: r}
	br := bufio.NewReaderSize(in, 256<<10)
	c, err := layerpack.Detect(br)
	if err != nil && !errors.Is(err, layerpack.ErrInvalid) {
		return nil, false, err
	}
	if err != nil || c == layerpack.Plain {
		return io.NopCloser(br), true, nil
	}
	out, err := layerpack.Decompress(br, c)
	if err != nil {
		return nil, false, fmt.Errorf("decompress: %w", err)
	}
	if maxExpansion == 0 {
		maxExpansion = layerpack.DefaultMaxExpansion
	}
	return &bounded{ReadCloser: out, in: in, max: maxExpansion}, false, nil
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
	io.ReadCloser
	in  *counter // read ahead by zstd's goroutine
	out int64
	max int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.out += int64(n)
	if b.max > 0 && b.out > layerpack.ExpansionFloor && b.out/b.max > b.in.n.Load() {
		return n, fmt.Errorf("%w: more than %d times the compressed size", layerpack.ErrBomb, b.max)
	}
	return n, err
}

package layerpack

import (
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// What the digest of a compressed layer depends on besides its tar, and so
// never changes without need.
const (
	gzipLevel  = 5       // what klauspost/compress takes for its default
	gzipBlock  = 1 << 20 // bytes that are compressed at once, each with the end of the one before as dictionary
	zstdLevel  = zstd.SpeedDefault
	zstdWindow = 8 << 20 // bytes
)

// NewCompressor compresses what is written to it into w, on all CPUs. The same
// bytes give the same bytes, however many CPUs there are and however they are
// cut into writes. Close writes what is left, and doesn't close w. Gzip, Zstd
// and Plain are written.
func NewCompressor(w io.Writer, c Compression) (io.WriteCloser, error) {
	switch c {
	case Plain:
		return plainWriter{w}, nil
	case Gzip:
		z, err := pgzip.NewWriterLevel(w, gzipLevel)
		if err == nil {
			err = z.SetConcurrency(gzipBlock, max(runtime.GOMAXPROCS(0), 1))
		}
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return z, nil
	case Zstd:
		z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstdLevel), zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(true))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return z, nil
	}
	return nil, fmt.Errorf("layers are not written as %s", c)
}

type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

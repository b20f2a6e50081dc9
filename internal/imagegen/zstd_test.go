package imagegen

import (
	"io"

	"github.com/klauspost/compress/zstd"
)

func zstdReader(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) }

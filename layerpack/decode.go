package layerpack

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory a zstd stream may ask for, in bytes: what zstd(1)
// accepts when it isn't told otherwise.
const maxWindow = 128 << 20

// magics are the first bytes of what layers come in. Those without a
// compression are known, but not read.
var magics = [...]struct {
	magic string
	name  string
	c     Compression
	known bool
}{
	{"\x1f\x8b", "gzip", Gzip, true},
	{"\x28\xb5\x2f\xfd", "zstd", Zstd, true},
	{"BZh", "bzip2", 0, false},
	{"\xfd7zXZ\x00", "xz", 0, false},
	{"\x5d\x00\x00", "lzma", 0, false},
	{"\x04\x22\x4d\x18", "lz4", 0, false},
	{"\x1f\x9d", "compress", 0, false},
	{"LZIP", "lzip", 0, false},
	{"PK\x03\x04", "zip", 0, false},
}

// detect tells from its first bytes what r is, or why it is no layer.
func detect(r *bufio.Reader) (Compression, error) {
	b, err := r.Peek(blockSize)
	if err != nil && err != io.EOF {
		return 0, err
	}
	if len(b) == 0 {
		return 0, fmt.Errorf("%w: it is empty", ErrInvalid)
	}
	// A tar first: a name may begin with any magic.
	if len(b) == blockSize && (tarBlock(b).zero() || tarBlock(b).summed()) {
		return Plain, nil
	}
	for _, m := range magics {
		if len(b) < len(m.magic) || string(b[:len(m.magic)]) != m.magic {
			continue
		}
		if m.known {
			return m.c, nil
		}
		return 0, fmt.Errorf("%w: %s layers are not supported yet", ErrInvalid, m.name)
	}
	// zstd streams may begin with a skippable frame.
	if len(b) >= 4 && b[0]&0xf0 == 0x50 && string(b[1:4]) == "\x2a\x4d\x18" {
		return Zstd, nil
	}
	return 0, fmt.Errorf("%w: neither a tar nor a compressed one", ErrInvalid)
}

// decoder gives the tar in r, which it reads to the end. Its Close frees
// memory and is not about the data.
func decoder(r *bufio.Reader, c Compression) (io.ReadCloser, error) {
	switch c {
	case Gzip:
		return &gunzip{src: r}, nil
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return zstdReader{z}, nil
	}
	return io.NopCloser(r), nil
}

type zstdReader struct{ *zstd.Decoder }

func (z zstdReader) Read(p []byte) (int, error) {
	n, err := z.Decoder.Read(p)
	return n, streamError("zstd", err)
}

func (z zstdReader) Close() error {
	z.Decoder.Close()
	return nil
}

// gunzip reads all members of a gzip stream. Whatever follows the last one and
// doesn't begin like another is passed over, as gzip(1) does.
type gunzip struct {
	src  *bufio.Reader
	z    *gzip.Reader
	done bool
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.done || len(p) == 0 {
		if g.done {
			return 0, io.EOF
		}
		return 0, nil
	}
	for {
		if g.z == nil {
			z, err := gzip.NewReader(g.src)
			if err != nil {
				return 0, streamError("gzip", noEOF(err))
			}
			z.Multistream(false)
			g.z = z
		}
		n, err := g.z.Read(p)
		if err != io.EOF {
			return n, streamError("gzip", err)
		}
		if more, err := g.member(); err != nil {
			return n, err
		} else if !more {
			g.done = true
			return n, io.EOF
		}
		if n > 0 {
			return n, nil
		}
	}
}

// member begins the next member, if there is one.
func (g *gunzip) member() (bool, error) {
	b, err := g.src.Peek(2)
	if err != nil && err != io.EOF {
		return false, err
	}
	if string(b) != "\x1f\x8b" {
		_, err := io.Copy(io.Discard, g.src)
		return false, err
	}
	if err := g.z.Reset(g.src); err != nil {
		return false, streamError("gzip", noEOF(err))
	}
	g.z.Multistream(false)
	return true, nil
}

func (g *gunzip) Close() error { return nil }

// noEOF makes the end of the input within a header an error.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// streamError says of a decoder's error what it means for the layer.
func streamError(format string, err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the %s stream is truncated", ErrInvalid, format)
	}
	return fmt.Errorf("%w: %s: %w", ErrInvalid, format, err)
}

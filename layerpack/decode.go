package layerpack

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"github.com/cfs-project/cfs/internal/inflate"
)

// Bounds of the memory that a stream may ask for, in bytes.
const (
	maxWindow     = 128 << 20 // of zstd: what zstd(1) accepts when it isn't told otherwise
	maxDictionary = 64 << 20  // of xz: what xz -9 asks for
)

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
	{"BZh", "bzip2", Bzip2, true},
	{"\xfd7zXZ\x00", "xz", XZ, true},
	{"\x5d\x00\x00", "lzma", 0, false},
	{"\x04\x22\x4d\x18", "lz4", 0, false},
	{"\x1f\x9d", "compress", 0, false},
	{"LZIP", "lzip", 0, false},
	{"PK\x03\x04", "zip", 0, false},
}

// Detect tells how the layer in r is compressed, from its first bytes, which
// it leaves in r. Nothing at all is a tar, which some write for a layer that
// changes nothing. ErrInvalid: it is neither a tar nor in a compression that is
// understood.
func Detect(r *bufio.Reader) (Compression, error) {
	b, err := r.Peek(blockSize)
	if err != nil && err != io.EOF {
		return 0, err
	}
	if len(b) == 0 {
		return Plain, nil
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
		return 0, fmt.Errorf("%w: %s layers are not supported", ErrInvalid, m.name)
	}
	// zstd streams may begin with a skippable frame.
	if len(b) >= 4 && b[0]&0xf0 == 0x50 && string(b[1:4]) == "\x2a\x4d\x18" {
		return Zstd, nil
	}
	return 0, fmt.Errorf("%w: neither a tar nor a compressed one", ErrInvalid)
}

// Decompress gives the tar in r, of the compression that [Detect] told, and
// reads r to its end: all gzip members, zstd frames, bzip2 or xz streams. It
// bounds memory, not what comes out. A stream that ends early gives
// io.ErrUnexpectedEOF, wrapped. Its Close frees memory and is not about the data.
func Decompress(r *bufio.Reader, c Compression) (io.ReadCloser, error) {
	return decompress(r, c, false)
}

// decompress is Decompress where a digest may vouch for what comes out, so that a
// checksum within the stream need not be taken.
func decompress(r *bufio.Reader, c Compression, vouched bool) (io.ReadCloser, error) {
	switch c {
	case Gzip:
		return &gunzip{src: r}, nil
	case Zstd:
		o := []zstd.DOption{zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true), zstd.IgnoreChecksum(vouched)}
		if runtime.GOMAXPROCS(0) <= fewCPUs {
			o = append(o, zstd.WithDecoderConcurrency(1))
		}
		z, err := zstd.NewReader(r, o...)
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return zstdReader{z}, nil
	case Bzip2:
		return io.NopCloser(&checked{bzip2.NewReader(r), c}), nil
	case XZ:
		return io.NopCloser(&checked{&unxz{src: r}, c}), nil
	}
	return io.NopCloser(r), nil
}

// fewCPUs are kept busy by what is done beside decoding: to decode zstd in several
// goroutines, each with its part of it, only costs then (a tenth).
const fewCPUs = 2

type zstdReader struct{ *zstd.Decoder }

func (z zstdReader) WriteTo(w io.Writer) (int64, error) {
	n, err := z.Decoder.WriteTo(w)
	return n, streamError("zstd", err)
}

func (z zstdReader) Read(p []byte) (int, error) {
	n, err := z.Decoder.Read(p)
	return n, streamError("zstd", err)
}

func (z zstdReader) Close() error {
	z.Decoder.Close()
	return nil
}

// checked has a decoder's errors say which it is.
type checked struct {
	io.Reader
	c Compression
}

func (d *checked) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	return n, streamError(d.c.String(), err)
}

// unxz reads all streams of an xz file, each with a bounded dictionary. It
// reads nothing before it is read from.
type unxz struct {
	src io.Reader
	z   *xz.Reader
}

func (u *unxz) Read(p []byte) (n int, err error) {
	if u.z == nil {
		u.z, err = xz.NewReader(u.src, maxDictionary)
	}
	if err == nil {
		n, err = u.z.Read(p)
	}
	switch err {
	case xz.ErrBuf:
		err = io.ErrUnexpectedEOF
	case xz.ErrMemlimit:
		err = fmt.Errorf("it needs a dictionary of more than %d MiB", maxDictionary>>20)
	}
	return n, err
}

// gunzip reads all members of a gzip stream. Whatever follows the last one and
// doesn't begin like another is passed over, as gzip(1) does.
type gunzip struct {
	src  *bufio.Reader
	z    *inflate.Gunzip
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
			z, err := inflate.NewGunzip(g.src)
			if err != nil {
				return 0, streamError("gzip", err)
			}
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
		return false, streamError("gzip", err)
	}
	return true, nil
}

func (g *gunzip) Close() error { return nil }

// streamError says of which format a decoder's error is.
func streamError(format string, err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the %s stream is truncated: %w", format, io.ErrUnexpectedEOF)
	case strings.HasPrefix(err.Error(), format):
		return err
	}
	return fmt.Errorf("%s: %w", format, err)
}

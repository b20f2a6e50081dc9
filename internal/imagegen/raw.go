package imagegen

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// block is the unit of a tar, in bytes.
const block = 512

// rawHeader is one ustar header block as given, checksum included: for what
// archive/tar refuses to write. Fields longer than theirs are cut.
func rawHeader(name string, typ byte, size, link string) []byte {
	h := make([]byte, block)
	copy(h[0:100], name)
	copy(h[100:108], "0000644\x00")
	copy(h[108:116], "0000000\x00")
	copy(h[116:124], "0000000\x00")
	copy(h[124:136], size)
	copy(h[136:148], "14524770400\x00")
	h[156] = typ
	copy(h[157:257], link)
	copy(h[257:265], "ustar\x0000")
	return checksum(h)
}

func checksum(h []byte) []byte {
	copy(h[148:156], "        ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// octal is a size field.
func octal(n int64) string { return fmt.Sprintf("%011o\x00", n) }

// pad is b filled with zeros to whole blocks.
func pad(b []byte) []byte {
	return append(bytes.Clone(b), make([]byte, (block-len(b)%block)%block)...)
}

// paxEntry is an extended header with the records as they are, and nothing
// behind it.
func paxEntry(records string) []byte {
	return append(rawHeader("PaxHeaders/x", tar.TypeXHeader, octal(int64(len(records))), ""), pad([]byte(records))...)
}

// paxRecord is "LENGTH KEY=VALUE\n" with the length that includes itself.
func paxRecord(key, value string) string {
	n := len(key) + len(value) + 3
	for n != len(fmt.Sprint(n))+len(key)+len(value)+3 {
		n = len(fmt.Sprint(n)) + len(key) + len(value) + 3
	}
	return fmt.Sprintf("%d %s=%s\n", n, key, value)
}

var endOfTar = make([]byte, 2*block)

// concat is several pieces as one tar, with its end.
func concat(pieces ...[]byte) []byte {
	return append(bytes.Join(pieces, nil), endOfTar...)
}

// zeros streams a compressed tar of one file of size zeros. Both gzip (RFC
// 1952, 2.2) and zstd (RFC 8878, 3) allow members to follow each other, so one
// small member is sent again and again and nothing is compressed twice.
func zeros(c Compression, size int64) io.Reader {
	const piece = 64 << 20
	if size%piece != 0 {
		panic("imagegen: zeros come in pieces of 64 MiB")
	}
	head := rawHeader("zeros", tar.TypeReg, octal(size), "")
	var member bytes.Buffer
	var w io.WriteCloser
	if c == Zstd {
		w, _ = zstd.NewWriter(&member, zstd.WithEncoderConcurrency(1))
	} else {
		w, _ = gzip.NewWriterLevel(&member, gzip.BestCompression)
	}
	buf := make([]byte, 1<<20)
	for range piece / len(buf) {
		_, _ = w.Write(buf) // into memory
	}
	_ = w.Close()
	readers := []io.Reader{bytes.NewReader(c.Compress(head))}
	for range size / piece {
		readers = append(readers, bytes.NewReader(member.Bytes()))
	}
	return io.MultiReader(append(readers, bytes.NewReader(c.Compress(endOfTar)))...)
}

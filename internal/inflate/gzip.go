package inflate

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// A Gunzip decompresses one member of a gzip stream and verifies its checksum
// and length.
type Gunzip struct {
	r    *Reader
	src  *bufio.Reader
	sum  uint32
	size uint32
	done bool // the trailer was read
}

// NewGunzip reads the header of a member from src, which has a buffer of 1 KiB
// or more. No byte behind the end of the member is taken.
func NewGunzip(src *bufio.Reader) (*Gunzip, error) {
	g := &Gunzip{r: new(Reader)}
	return g, g.Reset(src)
}

// Reset begins another member.
func (g *Gunzip) Reset(src *bufio.Reader) error {
	g.src, g.sum, g.size, g.done = src, 0, 0, false
	g.r.Reset(src)
	return readHeader(src)
}

// Read implements [io.Reader].
func (g *Gunzip) Read(p []byte) (int, error) {
	b, err := g.r.next(len(p))
	g.sum = crc32.Update(g.sum, crc32.IEEETable, b)
	g.size += uint32(len(b)) // modulo 1<<32, as the format wants it
	if err == io.EOF && !g.done {
		g.done = true
		err = g.trailer()
	}
	return copy(p, b), err
}

// trailer verifies what follows the data, and gives io.EOF if all is well.
func (g *Gunzip) trailer() error {
	var b [8]byte
	if _, err := io.ReadFull(g.src, b[:]); err != nil {
		g.r.err = unexpected(err)
	} else if binary.LittleEndian.Uint32(b[:]) != g.sum || binary.LittleEndian.Uint32(b[4:]) != g.size {
		g.r.err = fmt.Errorf("%w: wrong checksum", ErrCorrupt)
	}
	return g.r.err
}

// Flags of a member's header (RFC 1952, section 2.3.1).
const (
	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
	flagsReserved = 0xe0
)

func readHeader(src *bufio.Reader) error {
	var b [10]byte
	if _, err := io.ReadFull(src, b[:]); err != nil {
		return unexpected(err)
	}
	flags := b[3]
	if b[0] != 0x1f || b[1] != 0x8b || b[2] != 8 || flags&flagsReserved != 0 {
		return fmt.Errorf("%w: no gzip header", ErrCorrupt)
	}
	sum := crc32.ChecksumIEEE(b[:])
	read := func(n int) ([]byte, error) {
		p, err := src.Peek(n)
		if err != nil {
			return nil, unexpected(err)
		}
		sum = crc32.Update(sum, crc32.IEEETable, p)
		_, err = src.Discard(n)
		return p, err
	}
	if flags&flagExtra != 0 {
		p, err := read(2)
		if err != nil {
			return err
		}
		for range binary.LittleEndian.Uint16(p) {
			if _, err := read(1); err != nil {
				return err
			}
		}
	}
	for _, f := range []byte{flagName, flagComment} {
		for flags&f != 0 {
			p, err := read(1)
			if err != nil {
				return err
			}
			if p[0] == 0 {
				break
			}
		}
	}
	if flags&flagHeaderCRC != 0 {
		want := uint16(sum)
		p, err := read(2)
		if err != nil {
			return err
		}
		if binary.LittleEndian.Uint16(p) != want {
			return fmt.Errorf("%w: wrong checksum of the header", ErrCorrupt)
		}
	}
	return nil
}

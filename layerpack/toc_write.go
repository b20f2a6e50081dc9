package layerpack

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// A table of contents is, in this order,
//
//	8 bytes   tocMagic, whose last byte is the version of the format
//	          the entries in the order of the tar
//	8         number of entries
//	8         size of the tar, bytes
//	4         CRC-32C of what the tar has behind the last entry
//	4         tocStargz or 0
//	4         CRC-32C of all before it
//
// with little-endian numbers, and an entry is
//
//	1         kind, and tocXattrs, tocSparse and tocStargz
//	4         CRC-32C of the member: all of the tar from the end of the
//	          member before to the end of its own padding
//	varints   length of that / 512, mode, uid, gid, mtime (zigzag), nsec
//	string    name
//	          file: size, whose data ends with the member;
//	            sparse: number of runs, then hole before it and length of each
//	          hard and symbolic link: string target
//	          device: major, minor
//	          with tocXattrs: number, then string name, string value of each
//
// where a string is its length and its bytes. The members and what is behind
// the last one are the whole tar, so that damage anywhere in it has a name.
//
// Version 2 brought the checksums.
const (
	tocMagic  = "cfs-toc\x02"
	tocFooter = 8 + 8 + 4 + 4 + 4
	tocStargz = 0x20 // an entry of eStargz's own; in the footer: leave those out
	tocXattrs = 0x40
	tocSparse = 0x80
)

// tocWriter writes a table of contents.
type tocWriter struct {
	w       *bufio.Writer
	sum     uint32
	entries uint64
	end     int64 // of the last member in the tar
	size    int64 // bytes
	buf     []byte
}

// tocFloor is how much a table of contents may be larger than its tar, in
// bytes. Every entry is smaller than its headers, unless global ones are
// repeated in each.
const tocFloor = 16 << 20

// newTOCScanner makes a scanner that writes what it finds to w.
func newTOCScanner(w io.Writer) (*scanner, *tocWriter) {
	t, s := newTOCWriter(w), new(scanner)
	s.emit = func(e *entry) error {
		if err := t.add(e); err != nil {
			return err
		}
		if t.size > s.pos+tocFloor {
			return fmt.Errorf("%w: global extended headers repeated in too many entries", ErrBomb)
		}
		return nil
	}
	return s, t
}

func newTOCWriter(w io.Writer) *tocWriter {
	t := &tocWriter{w: bufio.NewWriterSize(w, 64<<10)}
	t.buf = append(t.buf, tocMagic...)
	return t
}

// add appends e. An error of the underlying writer may only be reported later.
func (t *tocWriter) add(e *entry) error {
	k := byte(e.kind)
	if len(e.xattrs) > 0 {
		k |= tocXattrs
	}
	if e.holes {
		k |= tocSparse
	}
	if e.stargz {
		k |= tocStargz
	}
	b := append(t.buf, k)
	b = le.AppendUint32(b, e.sum)
	b = binary.AppendUvarint(b, uint64(e.end-t.end)>>blockBits)
	t.end = e.end
	b = binary.AppendUvarint(b, uint64(e.mode))
	b = binary.AppendUvarint(b, uint64(e.uid))
	b = binary.AppendUvarint(b, uint64(e.gid))
	b = binary.AppendVarint(b, e.mtime)
	b = binary.AppendUvarint(b, uint64(e.nsec))
	b = appendString(b, e.name)
	switch e.kind {
	case kindFile:
		b = binary.AppendUvarint(b, uint64(e.size))
		if e.holes {
			b = binary.AppendUvarint(b, uint64(len(e.sparse)))
			end := int64(0)
			for _, r := range e.sparse {
				b = binary.AppendUvarint(b, uint64(r.off-end))
				b = binary.AppendUvarint(b, uint64(r.len))
				end = r.off + r.len
			}
		}
	case kindHardLink, kindSymlink:
		b = appendString(b, e.target)
	case kindChar, kindBlock:
		b = binary.AppendUvarint(b, uint64(e.major))
		b = binary.AppendUvarint(b, uint64(e.minor))
	}
	if len(e.xattrs) > 0 {
		b = binary.AppendUvarint(b, uint64(len(e.xattrs)))
		for _, x := range e.xattrs {
			b = appendString(appendString(b, x.name), x.value)
		}
	}
	t.entries++
	return t.write(b)
}

// finish writes the footer: s has seen the tar to its end.
func (t *tocWriter) finish(s *scanner) error {
	b := le.AppendUint64(t.buf, t.entries)
	b = le.AppendUint64(b, uint64(s.pos))
	b = le.AppendUint32(b, s.sum)
	flags := uint32(0)
	if s.stargz.last {
		flags = tocStargz
	}
	b = le.AppendUint32(b, flags)
	b = le.AppendUint32(b, crc32.Update(t.sum, castagnoli, b))
	if err := t.write(b); err != nil {
		return err
	}
	if err := t.w.Flush(); err != nil {
		return fmt.Errorf("write table of contents: %w", err)
	}
	return nil
}

func (t *tocWriter) write(b []byte) error {
	t.sum = crc32.Update(t.sum, castagnoli, b)
	t.size += int64(len(b))
	t.buf = b[:0]
	if _, err := t.w.Write(b); err != nil {
		return fmt.Errorf("write table of contents: %w", err)
	}
	return nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

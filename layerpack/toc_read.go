package layerpack

import (
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"unsafe"
)

// toc is a table of contents in memory.
type toc struct {
	body    string // the entries, encoded
	entries int
	tarSize int64
	endSum  uint32 // CRC-32C of the tar behind the last entry
	stargz  bool   // entries of eStargz's own are no files
}

// readTOC reads and verifies the table of contents at path.
func readTOC(path string) (toc, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return toc{}, fmt.Errorf("read table of contents: %w", err)
	}
	t, err := parseTOC(b)
	if err != nil {
		return toc{}, fmt.Errorf("table of contents %s: %w", path, err)
	}
	return t, nil
}

// parseTOC takes b over: names alias it.
func parseTOC(b []byte) (toc, error) {
	if len(b) < len(tocMagic)+tocFooter || string(b[:len(tocMagic)-1]) != tocMagic[:len(tocMagic)-1] {
		return toc{}, fmt.Errorf("%w: not a table of contents", ErrCorrupt)
	}
	if v := b[len(tocMagic)-1]; v != tocMagic[len(tocMagic)-1] {
		return toc{}, fmt.Errorf("%w: version %d is not understood", ErrCorrupt, v)
	}
	foot := b[len(b)-tocFooter:]
	if crc32.Checksum(b[:len(b)-4], castagnoli) != le.Uint32(foot[tocFooter-4:]) {
		return toc{}, fmt.Errorf("%w: the checksum is wrong", ErrCorrupt)
	}
	body := b[len(tocMagic) : len(b)-tocFooter]
	t := toc{body: unsafe.String(unsafe.SliceData(body), len(body))}
	n, size, flags := le.Uint64(foot), le.Uint64(foot[8:]), le.Uint32(foot[20:])
	if n > uint64(len(body)) || flags&^tocStargz != 0 || size > math.MaxInt64 || size>>blockBits >= nullBlock {
		return toc{}, fmt.Errorf("%w: %d entries of %d bytes", ErrCorrupt, n, size)
	}
	t.entries, t.tarSize = int(n), int64(size)
	t.endSum, t.stargz = le.Uint32(foot[16:]), flags != 0
	return t, nil
}

// each calls fn for each entry, in the order of the tar. The entry is only
// valid during the call; its slices and strings stay so.
func (t toc) each(fn func(*entry) error) error {
	c := t.cursor()
	for {
		e, err := c.next()
		if e == nil || err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
}

// tocCursor goes through the entries of a table of contents.
type tocCursor struct {
	toc
	cursor
	n int // entries that were read
	e entry
}

func (t toc) cursor() *tocCursor { return &tocCursor{toc: t, cursor: cursor{s: t.body}} }

// next is the next entry, valid until the one after it; nil at the end.
func (c *tocCursor) next() (*entry, error) {
	if c.n == c.entries {
		if len(c.s) != 0 {
			return nil, fmt.Errorf("%w: %d bytes after the last entry", ErrCorrupt, len(c.s))
		}
		return nil, nil
	}
	start := c.e.end
	c.e = entry{}
	if !c.entry(&c.e, start, c.tarSize) {
		return nil, fmt.Errorf("%w: entry %d is damaged", ErrCorrupt, c.n)
	}
	c.n++
	return &c.e, nil
}

// cursor takes values off the front of s. Once one of them doesn't fit, bad is
// set and all others are 0.
type cursor struct {
	s   string
	bad bool
}

func (c *cursor) uvarint(limit uint64) uint64 {
	var v uint64
	for i := 0; i < len(c.s) && i < 10; i++ {
		b := c.s[i]
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if v > limit || i == 9 && b > 1 {
				break
			}
			c.s = c.s[i+1:]
			return v
		}
	}
	c.s, c.bad = "", true
	return 0
}

func (c *cursor) string() string {
	n := c.uvarint(uint64(len(c.s)))
	if n > uint64(len(c.s)) {
		c.s, c.bad = "", true
		return ""
	}
	s := c.s[:n]
	c.s = c.s[n:]
	return s
}

// entry reads one entry of a tar of tarSize bytes, whose member begins at start.
func (c *cursor) entry(e *entry, start, tarSize int64) bool {
	if len(c.s) < 5 {
		return false
	}
	k := c.s[0]
	e.sum = uint32(c.s[1]) | uint32(c.s[2])<<8 | uint32(c.s[3])<<16 | uint32(c.s[4])<<24
	c.s = c.s[5:]
	e.kind, e.holes, e.stargz = kind(k&^(tocXattrs|tocSparse|tocStargz)), k&tocSparse != 0, k&tocStargz != 0
	e.end = start + int64(c.uvarint(uint64(padded(tarSize)-start)>>blockBits))<<blockBits
	if e.kind >= kinds || e.holes && e.kind != kindFile {
		return false
	}
	e.mode = uint32(c.uvarint(07777))
	e.uid = uint32(c.uvarint(maxID))
	e.gid = uint32(c.uvarint(maxID))
	u := c.uvarint(math.MaxUint64)
	e.mtime = int64(u>>1) ^ -int64(u&1)
	e.nsec = uint32(c.uvarint(1e9 - 1))
	e.name = c.string()
	switch e.kind {
	case kindFile:
		e.size = int64(c.uvarint(math.MaxInt64))
		if !c.data(e, start, tarSize) {
			return false
		}
	case kindHardLink, kindSymlink:
		e.target = c.string()
	case kindChar, kindBlock:
		e.major = uint32(c.uvarint(maxMajor))
		e.minor = uint32(c.uvarint(maxMinor))
	}
	if k&tocXattrs != 0 {
		n := c.uvarint(uint64(len(c.s)))
		e.xattrs = make([]xattr, 0, min(n, 64))
		for range n {
			x := xattr{c.string(), c.string()}
			if c.bad {
				return false
			}
			e.xattrs = append(e.xattrs, x)
		}
	}
	return !c.bad
}

// data reads a file's runs, and checks that all lies in the member and the tar.
func (c *cursor) data(e *entry, start, tarSize int64) bool {
	stored := e.size
	if e.holes {
		n := c.uvarint(uint64(len(c.s)))
		e.sparse = make([]run, 0, min(n, 1024))
		end := int64(0)
		stored = 0
		for range n {
			off := int64(c.uvarint(uint64(e.size-end))) + end
			length := int64(c.uvarint(uint64(e.size - off)))
			if c.bad || length == 0 {
				return false
			}
			e.sparse = append(e.sparse, run{off, length, stored})
			end, stored = off+length, stored+length
		}
	}
	if stored > tarSize || padded(stored) > e.end-start {
		return false
	}
	if e.off = e.end - padded(stored); stored > tarSize-e.off {
		return false
	}
	for i := range e.sparse {
		e.sparse[i].tar += e.off
	}
	return true
}

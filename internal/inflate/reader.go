package inflate

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// ErrCorrupt is what a stream is that doesn't follow RFC 1951 or 1952, wrapped.
// One that ends early is an io.ErrUnexpectedEOF.
var ErrCorrupt = errors.New("corrupt input")

// Sizes of a reader's buffer, in bytes.
const (
	window = 32 << 10  // how far back a distance reaches
	chunk  = 128 << 10 // decoded at once, at least
	slack  = 2 + 258 + 16
)

// minAhead is how many bytes of input the fast loop has ahead of it: it takes
// in up to 8 at a time, up to twice for a symbol.
const minAhead = 16

// A Reader decompresses one DEFLATE stream. It takes about 200 KiB.
type Reader struct {
	src   *bufio.Reader
	bits  uint64 // taken from src and not used, the next one lowest
	nbits uint   // how many
	final bool   // this is the last block
	state func(*Reader) error
	left  int // bytes of the stored block to come
	err   error

	rd, wr int // in buf: what was handed out, what was decoded

	lengths [lengthSize]entry
	dists   [distSize]entry
	isFixed bool // the tables are those of the fixed code
	buf     [window + chunk + slack]byte
}

// NewReader decompresses what is in src, which has a buffer of 1 KiB or more,
// and from which no byte behind the end of the stream is taken.
func NewReader(src *bufio.Reader) *Reader {
	r := new(Reader)
	r.Reset(src)
	return r
}

// Reset begins another stream.
func (r *Reader) Reset(src *bufio.Reader) {
	r.src, r.bits, r.nbits, r.final, r.err, r.rd, r.wr = src, 0, 0, false, nil, 0, 0
	r.state = (*Reader).header
}

// Read implements [io.Reader].
func (r *Reader) Read(p []byte) (int, error) {
	b, err := r.next(len(p))
	return copy(p, b), err
}

// next gives up to n bytes, where they are until the next call.
func (r *Reader) next(n int) ([]byte, error) {
	for r.rd == r.wr {
		if r.err != nil {
			return nil, r.err
		}
		if r.wr >= window+chunk {
			copy(r.buf[:window], r.buf[r.wr-window:r.wr])
			r.rd, r.wr = window, window
		}
		for r.err == nil && r.wr < window+chunk {
			r.err = r.state(r)
		}
		if r.err == io.EOF && !r.final {
			r.err = io.ErrUnexpectedEOF
		}
	}
	b := r.buf[r.rd:min(r.wr, r.rd+n)]
	r.rd += len(b)
	return b, nil
}

// need makes n bits available, n being at most 48.
func (r *Reader) need(n uint) error {
	for r.nbits < n {
		b, err := r.src.ReadByte()
		if err != nil {
			return unexpected(err)
		}
		r.bits |= uint64(b) << r.nbits
		r.nbits += 8
	}
	return nil
}

// take gives the next n bits, n being at most 48.
func (r *Reader) take(n uint) (uint, error) {
	if err := r.need(n); err != nil {
		return 0, err
	}
	v := uint(r.bits & (1<<n - 1))
	r.bits >>= n
	r.nbits -= n
	return v, nil
}

// symbol gives the entry of the next code, which it takes, but not its extra bits.
func (r *Reader) symbol(table []entry, index uint) (entry, error) {
	for {
		e := table[r.bits&(1<<index-1)]
		width := e.width()
		if e&(special|further) == special|further {
			e = table[e.base()+uint(r.bits>>index)&(1<<width-1)]
			width = index + e.width()
		}
		if r.nbits > 0 && width <= r.nbits {
			r.bits >>= width
			r.nbits -= width
			return e, nil
		}
		if err := r.need(r.nbits + 1); err != nil {
			return 0, err
		}
	}
}

// value gives what e, whose code was taken, stands for.
func (r *Reader) value(e entry) (int, error) {
	extra, err := r.take(e.total() - e.width())
	return int(e.base() + extra), err
}

// unexpected makes the end of the input an error.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// stored copies a block that is not compressed.
func (r *Reader) stored() error {
	n, err := r.src.Read(r.buf[r.wr:min(window+chunk, r.wr+r.left)])
	r.wr += n
	r.left -= n
	if r.left == 0 {
		r.state = (*Reader).header
	} else if err != nil {
		return unexpected(err)
	}
	return nil
}

// careful decodes one symbol, with a look at every bit. It is for the end of
// the input.
func (r *Reader) careful() error {
	e, err := r.symbol(r.lengths[:], lengthBits)
	if err != nil {
		return err
	}
	switch {
	case e&literal != 0:
		r.buf[r.wr] = byte(e >> 16)
		r.wr++
		return nil
	case e.special():
		return r.ended(e)
	}
	length, err := r.value(e)
	if err != nil {
		return err
	}
	if e, err = r.symbol(r.dists[:], distBits); err != nil {
		return err
	}
	if e.special() {
		return ErrCorrupt
	}
	dist, err := r.value(e)
	if err != nil {
		return err
	}
	if dist > r.wr {
		return ErrCorrupt
	}
	for range length {
		r.buf[r.wr] = r.buf[r.wr-dist]
		r.wr++
	}
	return nil
}

// ended is for a special entry of the first table.
func (r *Reader) ended(e entry) error {
	if e&end == 0 {
		return ErrCorrupt
	}
	r.state = (*Reader).header
	return nil
}

// block decodes symbols of a compressed block.
func (r *Reader) block() error {
	if _, err := r.src.Peek(minAhead); err != nil {
		if err != io.EOF {
			return err
		}
		return r.careful()
	}
	in, err := r.src.Peek(r.src.Buffered())
	if err != nil {
		return err
	}
	used, err := r.fast(in)
	_, _ = r.src.Discard(used) // never fails: they are there
	return err
}

// fast decodes symbols until the input runs short, the buffer is full or the
// block ends. It tells how many bytes of in it took.
func (r *Reader) fast(in []byte) (int, error) {
	const lengthMask, distMask = 1<<lengthBits - 1, 1<<distBits - 1
	hold, n, pos, wr := r.bits, r.nbits, 0, r.wr
	buf, lengths, dists := &r.buf, &r.lengths, &r.dists
	var err error
	for pos+minAhead <= len(in) && wr < window+chunk {
		hold |= binary.LittleEndian.Uint64(in[pos:]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56
		// Up to 3 literals of 11 bits; after two, what is left is enough for
		// the code of a length and its extra bits.
		e := lengths[hold&lengthMask]
		if e&literal != 0 {
			buf[wr] = byte(e >> 16)
			wr++
			hold >>= e & 63
			n -= e.total()
			e = lengths[hold&lengthMask]
			if e&literal != 0 {
				buf[wr] = byte(e >> 16)
				wr++
				hold >>= e & 63
				n -= e.total()
				e = lengths[hold&lengthMask]
				if e&literal != 0 {
					buf[wr] = byte(e >> 16)
					wr++
					hold >>= e & 63
					n -= e.total()
					continue
				}
			}
		}
		if e&(special|further) == special|further {
			hold >>= lengthBits
			n -= lengthBits
			e = lengths[e.base()+uint(hold)&(1<<e.width()-1)]
			if e&literal != 0 {
				buf[wr] = byte(e >> 16)
				wr++
				hold >>= e & 63
				n -= e.total()
				continue
			}
		}
		coded := hold
		hold >>= e & 63
		n -= e.total()
		if e.special() {
			err = r.ended(e)
			break
		}
		length := e.value(coded)

		hold |= binary.LittleEndian.Uint64(in[pos:]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56
		e = dists[hold&distMask]
		if e.special() {
			if e&further == 0 {
				err = ErrCorrupt
				break
			}
			hold >>= distBits
			n -= distBits
			e = dists[e.base()+uint(hold)&(1<<e.width()-1)]
			if e.special() {
				err = ErrCorrupt
				break
			}
		}
		dist := e.value(hold)
		hold >>= e & 63
		n -= e.total()
		if dist > wr {
			err = ErrCorrupt
			break
		}
		if from := wr - dist; dist >= 16 {
			for i := 0; i < length; i += 16 {
				*(*[16]byte)(buf[wr+i:]) = *(*[16]byte)(buf[from+i:])
			}
		} else {
			repeat(buf[from:wr+length+8], length, dist)
		}
		wr += length
	}
	pos -= int(n >> 3)
	n &= 7
	r.bits, r.nbits, r.wr = hold&(1<<n-1), n, wr
	return pos, err
}

// repeat writes length bytes behind the first dist of b that repeat those, and
// up to 7 more.
func repeat(b []byte, length, dist int) {
	to := b[dist:]
	switch {
	case dist == 1:
		v := uint64(b[0]) * 0x0101010101010101
		for i := 0; i < length; i += 8 {
			binary.LittleEndian.PutUint64(to[i:], v)
		}
	case dist >= 8:
		for i := 0; i < length; i += 8 {
			binary.LittleEndian.PutUint64(to[i:], binary.LittleEndian.Uint64(b[i:]))
		}
	default:
		for i := range to[:length] {
			to[i] = b[i]
		}
	}
}

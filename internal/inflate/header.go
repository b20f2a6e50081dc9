package inflate

import "io"

// header begins a block, or ends the stream (RFC 1951, section 3.2.3).
func (r *Reader) header() error {
	if r.final {
		return io.EOF
	}
	h, err := r.take(3)
	if err != nil {
		return err
	}
	final := h&1 != 0
	switch h >> 1 {
	case 0:
		err = r.storedHeader()
	case 1:
		r.fixed()
	case 2:
		err = r.dynamic()
	default:
		err = ErrCorrupt
	}
	r.final = final && err == nil
	return err
}

func (r *Reader) storedHeader() error {
	r.bits, r.nbits = 0, 0 // the rest of the byte
	h, err := r.take(32)
	if err != nil {
		return err
	}
	if h&0xffff != ^h>>16&0xffff {
		return ErrCorrupt
	}
	r.left = int(h & 0xffff)
	r.state = (*Reader).stored
	if r.left == 0 {
		r.state = (*Reader).header
	}
	return nil
}

// fixed sets up the code of RFC 1951, section 3.2.6.
func (r *Reader) fixed() {
	r.state = (*Reader).block
	if r.isFixed {
		return
	}
	r.isFixed = true
	var widths [288]uint8
	for i := range widths {
		switch {
		case i < 144:
			widths[i] = 8
		case i < 256:
			widths[i] = 9
		case i < 280:
			widths[i] = 7
		default:
			widths[i] = 8
		}
	}
	build(r.lengths[:], lengthBits, widths[:], lengthSymbol)
	for i := range widths[:32] {
		widths[i] = 5
	}
	build(r.dists[:], distBits, widths[:32], distSymbol)
}

// order is in which the widths of the code of widths come.
var order = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamic reads the codes of a block (RFC 1951, section 3.2.7).
func (r *Reader) dynamic() error {
	h, err := r.take(14)
	if err != nil {
		return err
	}
	lengths, dists := int(h&31)+257, int(h>>5&31)+1
	if lengths > maxLengths || dists > maxDists {
		return ErrCorrupt
	}
	var plain [len(order)]uint8
	for _, i := range order[:h>>10+4] {
		w, err := r.take(3)
		if err != nil {
			return err
		}
		plain[i] = uint8(w)
	}
	const index = 7
	var table [1 << index]entry
	if !build(table[:], index, plain[:], plainSymbol) {
		return ErrCorrupt
	}
	var widths [maxLengths + maxDists]uint8
	all := widths[:lengths+dists]
	for i := 0; i < len(all); {
		n, err := r.widths(table[:], index, all, i)
		if err != nil {
			return err
		}
		i += n
	}
	r.isFixed = false
	if !build(r.lengths[:], lengthBits, all[:lengths], lengthSymbol) || !build(r.dists[:], distBits, all[lengths:], distSymbol) {
		return ErrCorrupt
	}
	r.state = (*Reader).block
	return nil
}

// widths reads a symbol of the code of widths: one width, or several of one.
func (r *Reader) widths(table []entry, index uint, all []uint8, i int) (int, error) {
	e, err := r.symbol(table, index)
	if err != nil {
		return 0, err
	}
	if e.special() {
		return 0, ErrCorrupt
	}
	var width uint8
	var extra uint
	n := 3
	switch s := e.base(); s {
	default:
		all[i] = uint8(s)
		return 1, nil
	case 16:
		if i == 0 {
			return 0, ErrCorrupt
		}
		width, extra = all[i-1], 2
	case 17:
		extra = 3
	case 18:
		n, extra = 11, 7
	}
	more, err := r.take(extra)
	if err != nil {
		return 0, err
	}
	n += int(more)
	if i+n > len(all) {
		return 0, ErrCorrupt
	}
	for j := range all[i : i+n] {
		all[i+j] = width
	}
	return n, nil
}

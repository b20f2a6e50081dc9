package inflate

import "math/bits"

// An entry of a table. The low 6 bits are how many bits of the input it is for,
// those from the 9th how many of them are the code; extra bits are the rest.
//
//	literal     1<<31 | byte << 16 | width << 8 | width
//	base        base << 16 | width << 8 | width + extra bits
//	further     special | further | offset of the table << 16 | index bits << 8 | width
//	end         special | end | width << 8 | width
//	invalid     special
type entry uint32

const (
	literal entry = 1 << 31
	special entry = 1 << 15
	further entry = 1 << 14
	end     entry = 1 << 13
)

func (e entry) total() uint   { return uint(e) & 63 }
func (e entry) width() uint   { return uint(e>>8) & 15 }
func (e entry) base() uint    { return uint(e>>16) & 0x7fff }
func (e entry) special() bool { return e&special != 0 }

// of is the entry of a symbol whose code has that width.
func (e entry) of(width uint) entry { return e + entry(width<<8|width) }

// value is the base with what the extra bits add, hold being the bits with
// those of the code lowest.
func (e entry) value(hold uint64) int {
	return int(e.base() + uint(hold&(1<<e.total()-1))>>e.width())
}

// Limits of RFC 1951, section 3.2.
const (
	maxWidth   = 15 // bits of a code
	maxLengths = 286
	maxDists   = 30
)

// Index bits of the first tables. Longer codes go on in further tables. The
// sizes are for the worst of all codes, with which both kinds are full: what
// zlib's enough.c finds for 288 and 32 symbols.
const (
	lengthBits = 11
	distBits   = 8
	lengthSize = 2342
	distSize   = 402
)

// What symbols stand for, as entries without a code: base and extra bits of lengths, from symbol 257, and of distances.
var (
	lengthSymbols, distSymbols = symbols()
)

// symbols makes the tables of RFC 1951, section 3.2.5, by the rule behind them.
func symbols() (lengthSymbols [maxLengths - 257]entry, distSymbols [maxDists]entry) {
	base := uint(3)
	for i := range lengthSymbols[:28] {
		extra := uint(max(0, i/4-1))
		lengthSymbols[i] = entry(base<<16 | extra)
		base += 1 << extra
	}
	lengthSymbols[28] = 258 << 16
	base = 1
	for i := range distSymbols {
		extra := uint(max(0, i/2-1))
		distSymbols[i] = entry(base<<16 | extra)
		base += 1 << extra
	}
	return lengthSymbols, distSymbols
}

func lengthSymbol(symbol int) entry {
	switch {
	case symbol < 256:
		return literal | entry(symbol)<<16
	case symbol == 256:
		return special | end
	case symbol-257 < len(lengthSymbols):
		return lengthSymbols[symbol-257]
	}
	return special
}

func distSymbol(symbol int) entry {
	if symbol < len(distSymbols) {
		return distSymbols[symbol]
	}
	return special
}

func plainSymbol(symbol int) entry { return entry(symbol) << 16 }

// build makes the table of the canonical code with these widths (RFC 1951,
// section 3.2.2). It tells whether they make one: complete, or, as encoders
// write them, none or a single code of one bit.
func build(table []entry, index uint, widths []uint8, symbol func(int) entry) bool {
	var count [maxWidth + 1]int
	for _, w := range widths {
		count[w]++
	}
	count[0] = 0
	widest := maxWidth
	for widest > 0 && count[widest] == 0 {
		widest--
	}
	var next [maxWidth + 1]int // where the symbols of a width begin in sorted
	code, first := uint(0), 0
	for w := 1; w <= widest; w++ {
		next[w], first = first, first+count[w]
		code = code<<1 + uint(count[w])
	}
	if code != 1<<widest {
		if widest > 1 || code > 1<<widest {
			return false
		}
		for i := range table[:1<<index] {
			table[i] = special
		}
	}
	var sorted [288]uint16 // symbols by their codes
	for s, w := range widths {
		if w != 0 {
			sorted[next[w]] = uint16(s)
			next[w]++
		}
	}
	fill(table, index, count, sorted[:first], symbol)
	return true
}

// fill writes the entries, in the order of the codes. Codes that share their
// first bits follow each other, the shorter before the longer.
func fill(table []entry, index uint, count [maxWidth + 1]int, sorted []uint16, symbol func(int) entry) {
	used := uint(1) << index
	opened := -1 // first bits of the further table that is being written
	var sub []entry
	var subBits uint
	code, width := uint(0), uint(1)
	for _, s := range sorted {
		for count[width] == 0 {
			width++
			code <<= 1
		}
		e := symbol(int(s))
		reversed := uint(bits.Reverse16(uint16(code)) >> (16 - width))
		if width <= index {
			for i := reversed; i < 1<<index; i += 1 << width {
				table[i] = e.of(width)
			}
		} else {
			if prefix := int(reversed & (1<<index - 1)); prefix != opened {
				opened = prefix
				subBits = width - index
				for room := count[width]; room < 1<<subBits; {
					subBits++
					room = room<<1 + count[index+subBits]
				}
				table[prefix] = special | further | entry(used)<<16 | entry(subBits)<<8 | entry(index)
				sub = table[used : used+1<<subBits]
				used += 1 << subBits
			}
			for i := reversed >> index; i < 1<<subBits; i += 1 << (width - index) {
				sub[i] = e.of(width - index)
			}
		}
		code++
		count[width]--
	}
}

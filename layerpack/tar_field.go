package layerpack

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// tarBlock is one 512-byte header of a tar. Source: POSIX.1-2008 pax,
// "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
type tarBlock []byte

// dialect is the family a header belongs to, by its magic.
type dialect uint8

const (
	v7 dialect = iota
	ustar
	star
	gnu
)

func (b tarBlock) dialect() dialect {
	switch magic := string(b[257:263]); {
	case magic == "ustar\x00" && string(b[508:512]) == "tar\x00":
		return star
	case magic == "ustar\x00":
		return ustar
	case magic == "ustar " && string(b[263:265]) == " \x00":
		return gnu
	}
	return v7
}

// zero tells whether the block is one of the two that end an archive.
func (b tarBlock) zero() bool {
	for len(b) >= 8 {
		if le.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	return true
}

// summed tells whether the header's checksum is right, with its bytes taken as
// unsigned or, as some old programs did, as signed.
func (b tarBlock) summed() bool {
	want, err := parseNumber(b[148:156])
	if err != nil {
		return false
	}
	var unsigned, signed int64
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	return want == unsigned || want == signed
}

// name is the name as the header alone has it.
func (b tarBlock) name() string {
	name := text(b[0:100])
	prefix := ""
	switch b.dialect() {
	case ustar:
		prefix = text(b[345:500])
	case star:
		prefix = text(b[345:476])
	case gnu:
		// Go before 1.8 wrote a prefix into this dialect, over the two times
		// that have their place there; images made by it are still around.
		_, err1 := parseNumber(b[345:357])
		_, err2 := parseNumber(b[357:369])
		if p := text(b[345:500]); (err1 != nil || err2 != nil) && ascii(p) {
			prefix = p
		}
	}
	if prefix != "" {
		return prefix + "/" + name
	}
	return name
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// text is a field up to its NUL.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// parseNumber reads a numeric field: octal digits among blanks and NULs, or,
// with the first bit set, a two's complement number of base 256.
func parseNumber(b []byte) (int64, error) {
	if len(b) > 0 && b[0]&0x80 != 0 {
		// The bit after the first is the sign; -1 needs no digit.
		var flip byte
		if b[0]&0x40 != 0 {
			flip = 0xff
		}
		var v uint64
		for i, c := range b {
			c ^= flip
			if i == 0 {
				c &= 0x7f
			}
			if v>>55 > 0 {
				return 0, fmt.Errorf("number %x is too large", b)
			}
			v = v<<8 | uint64(c)
		}
		if flip != 0 {
			return ^int64(v), nil
		}
		return int64(v), nil
	}
	s := strings.Trim(text(bytes.TrimLeft(b, " \x00")), " ")
	if s == "" {
		return 0, nil
	}
	v, err := strconv.ParseUint(s, 8, 63)
	if err != nil {
		return 0, fmt.Errorf("number %q is not octal", s)
	}
	return int64(v), nil
}

// parseTime reads a time of an extended header, seconds with a decimal
// fraction, rounded towards the past to nanoseconds.
func parseTime(s string) (sec int64, nsec uint32, err error) {
	whole, frac, _ := strings.Cut(s, ".")
	negative := strings.HasPrefix(whole, "-")
	if sec, err = strconv.ParseInt(whole, 10, 64); err != nil {
		return 0, 0, fmt.Errorf("time %q is not a number", s)
	}
	rest := false
	for i := range len(frac) {
		c := frac[i]
		if c < '0' || c > '9' {
			return 0, 0, fmt.Errorf("time %q is not a number", s)
		}
		if i < 9 {
			nsec = nsec*10 + uint32(c-'0')
		} else if c != '0' {
			rest = true
		}
	}
	for i := len(frac); i < 9; i++ {
		nsec *= 10
	}
	if negative && (nsec > 0 || rest) {
		if sec == math.MinInt64 {
			return 0, 0, fmt.Errorf("time %q is too early", s)
		}
		if rest {
			nsec++ // at most 1e9
		}
		sec, nsec = sec-1, 1e9-nsec
		if nsec == 1e9 {
			sec, nsec = sec+1, 0
		}
	}
	return sec, nsec, nil
}

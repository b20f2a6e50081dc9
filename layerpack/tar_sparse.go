package layerpack

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Sparse files come in four ways. Source: GNU tar manual, "Storing Sparse
// Files": the old GNU format (type S, a map in the header and in blocks that
// follow it) and the formats 0.0, 0.1 (a map in the extended header) and 1.0
// (a map before the data) of PAX archives.

// maxRuns bounds the runs of one sparse file.
const maxRuns = 1 << 20

// sparseHeader is what an extended header says about a sparse file.
type sparseHeader struct {
	name         string
	size         *int64 // with its holes
	major, minor string
	pairs        []int64 // offset, length, ...
	mapped       bool    // pairs were given
}

// set takes in one keyword, without its prefix.
func (h *sparseHeader) set(key, value string) error {
	switch key {
	case "name":
		if strings.IndexByte(value, 0) >= 0 {
			return errors.New("the name has a NUL in it")
		}
		h.name = value
	case "size", "realsize":
		v, err := strconv.ParseInt(value, 10, 64)
		if err != nil || v < 0 {
			return fmt.Errorf("sparse size %q", value)
		}
		h.size = &v
	case "major":
		h.major = value
	case "minor":
		h.minor = value
	case "numblocks":
		h.mapped = true
	case "offset", "numbytes", "map":
		h.mapped = true
		for part := range strings.SplitSeq(value, ",") {
			if part == "" {
				continue
			}
			v, err := strconv.ParseInt(part, 10, 64)
			if err != nil {
				return fmt.Errorf("sparse map %q", part)
			}
			h.pairs = append(h.pairs, v)
		}
	}
	return nil
}

// version is 0 for a map in the header, 1 for one before the data, -1 for a
// file that isn't sparse.
func (h *sparseHeader) version() (int, error) {
	switch {
	case h.major == "1" && h.minor == "0":
		return 1, nil
	case h.major == "0" && (h.minor == "0" || h.minor == "1"), h.major == "" && h.mapped:
		return 0, nil
	case h.major == "" && h.minor == "":
		return -1, nil
	}
	return 0, fmt.Errorf("sparse format %s.%s is not supported", h.major, h.minor)
}

// runsOf turns pairs of offset and length into the runs of a file of size
// bytes, whose data begins at off in the tar and is stored bytes long.
func runsOf(pairs []int64, size, off, stored int64) ([]run, error) {
	if len(pairs)%2 != 0 || len(pairs)/2 > maxRuns {
		return nil, fmt.Errorf("sparse map of %d numbers", len(pairs))
	}
	runs := make([]run, 0, len(pairs)/2)
	end := int64(0)
	for ; len(pairs) > 0; pairs = pairs[2:] {
		r := run{pairs[0], pairs[1], off}
		if r.off < end || r.len < 0 || r.off > size || r.len > size-r.off || r.len > stored {
			return nil, errors.New("sparse map out of order or beyond the file")
		}
		end, off, stored = r.off+r.len, off+r.len, stored-r.len
		if r.len > 0 {
			runs = append(runs, r)
		}
	}
	if stored != 0 {
		return nil, fmt.Errorf("sparse map leaves %d bytes of data over", stored)
	}
	return runs, nil
}

// gnuSparse appends the used pairs of a table of n at b.
func gnuSparse(pairs []int64, b []byte, n int) ([]int64, error) {
	for ; n > 0 && b[0] != 0; n, b = n-1, b[24:] {
		off, err := parseNumber(b[:12])
		if err != nil {
			return nil, err
		}
		length, err := parseNumber(b[12:24])
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, off, length)
	}
	if len(pairs)/2 > maxRuns {
		return nil, errors.New("too many sparse runs")
	}
	return pairs, nil
}

// mapParser reads the map of format 1.0: decimal lines, the first of which
// counts the pairs, in whole blocks.
type mapParser struct {
	want  int64 // numbers; -1: the count itself comes first
	line  []byte
	pairs []int64
}

// block takes in one block; done is true if the map ends in it.
func (m *mapParser) block(b []byte) (done bool, err error) {
	for len(b) > 0 {
		nl := bytes.IndexByte(b, '\n')
		if nl < 0 {
			m.line = append(m.line, b...)
			if len(m.line) > 20+blockSize {
				return false, errors.New("sparse map without numbers")
			}
			return false, nil
		}
		v, err := strconv.ParseInt(string(append(m.line, b[:nl]...)), 10, 64)
		if err != nil || v < 0 {
			return false, errors.New("sparse map without numbers")
		}
		m.line, b = m.line[:0], b[nl+1:]
		if m.want < 0 {
			if v > maxRuns {
				return false, errors.New("too many sparse runs")
			}
			m.want = 2 * v
		} else {
			m.pairs = append(m.pairs, v)
		}
		if int64(len(m.pairs)) == m.want {
			return true, nil
		}
	}
	return false, nil
}

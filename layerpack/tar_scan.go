package layerpack

import (
	"errors"
	"fmt"
	"hash/crc32"
)

// scanner finds the entries of a tar that is written to it piece by piece. It
// keeps nothing of the data, and knows the offset of each byte: that is why it
// isn't archive/tar, which also can't read names that are not UTF-8 from
// extended headers. An entry is handed out when its data has passed: then its
// checksum is known.
//
// Rules where readers differ: global extended headers count (POSIX; docker
// skips them); a link or directory has no data whatever its size says (as
// archive/tar has it); the archive ends at two zero blocks, or at the end of
// the data between two entries, where the last one's padding may be missing
// (umoci insert writes such layers, and archive/tar reads them).
type scanner struct {
	emit   func(*entry) error
	failed bool // emit returned an error
	count  int

	pos   int64 // offset of the next byte
	state scanState
	block [blockSize]byte // collected so far of the block at hand
	have  int
	skip  int64 // data and padding to pass over
	pad   int64 // how much of that is padding at its end
	meta  byte  // type of the extended header whose data is collected
	data  []byte
	want  int64

	global, local []record
	localSize     int64 // bytes of the extended headers that local comes from
	longName      *string
	longTarget    *string

	e      entry // of which the sparse map is being read
	stored int64 // its data in the tar
	pairs  []int64
	sparse mapParser

	held   bool   // e is complete but for its data, which is passing
	sum    uint32 // of what came after the last entry
	stargz stargz
}

type scanState uint8

const (
	scanHeader    scanState = iota
	scanMeta                // data of an extended header or long name
	scanGNUSparse           // blocks of a sparse map behind a header
	scanMap                 // blocks of a sparse map before the data
	scanZero                // after one zero block
	scanEnd                 // after the archive
)

// Write takes in the next bytes of the tar.
func (s *scanner) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		var err error
		switch {
		case s.skip > 0:
			k := min(s.skip, int64(len(p)))
			s.stargz.see(p[:k])
			s.took(p[:k])
			s.skip -= k
			p = p[k:]
			if s.skip == 0 && s.held {
				err = s.release()
			}
		case s.state == scanEnd:
			s.took(p)
			p = nil
		case s.state == scanMeta:
			k := min(s.want-int64(len(s.data)), int64(len(p)))
			s.data = append(s.data, p[:k]...)
			s.took(p[:k])
			p = p[k:]
			if int64(len(s.data)) == s.want {
				err = s.metaDone()
			}
		default:
			b := p
			if s.have == 0 && len(p) >= blockSize {
				b, p = p[:blockSize], p[blockSize:]
				s.took(b)
			} else {
				k := copy(s.block[s.have:], p)
				s.took(p[:k])
				s.have, p = s.have+k, p[k:]
				if s.have < blockSize {
					return n, nil
				}
				b, s.have = s.block[:], 0
			}
			err = s.blockDone(b)
		}
		if err != nil {
			return n - len(p), err
		}
	}
	return n, nil
}

// took moves on over b.
func (s *scanner) took(b []byte) {
	s.pos += int64(len(b))
	s.sum = crc32.Update(s.sum, castagnoli, b)
}

// pass has the next size bytes and their padding passed over.
func (s *scanner) pass(size int64) { s.skip, s.pad = padded(size), padded(size)-size }

// finish tells whether the tar may end here.
func (s *scanner) finish() error {
	switch {
	case s.state == scanEnd:
		return nil
	case s.skip > s.pad || s.have > 0 || s.state != scanHeader && s.state != scanZero:
		return fmt.Errorf("%w: the tar is truncated at byte %d", ErrInvalid, s.pos)
	case s.pending():
		return fmt.Errorf("%w: the tar ends after an extended header", ErrInvalid)
	case s.held:
		return s.release()
	}
	return nil
}

func (s *scanner) pending() bool {
	return s.localSize > 0 || s.longName != nil || s.longTarget != nil
}

// blockDone handles the block b, which ends at pos.
func (s *scanner) blockDone(b tarBlock) error {
	switch s.state {
	case scanGNUSparse:
		var err error
		if s.pairs, err = gnuSparse(s.pairs, b, 21); err != nil {
			return s.invalid(s.e.name, err)
		}
		if b[504] != 0 {
			return nil
		}
		return s.sparseDone(s.pairs)
	case scanMap:
		if s.stored -= blockSize; s.stored < 0 {
			return s.invalid(s.e.name, errors.New("the sparse map is longer than the data"))
		}
		done, err := s.sparse.block(b)
		if err != nil {
			return s.invalid(s.e.name, err)
		}
		if !done {
			return nil
		}
		return s.sparseDone(s.sparse.pairs)
	}
	if b.zero() {
		if s.state == scanZero {
			s.state = scanEnd
			if s.pending() {
				return fmt.Errorf("%w: the tar ends after an extended header", ErrInvalid)
			}
		} else {
			s.state = scanZero
		}
		return nil
	}
	if s.state == scanZero {
		return fmt.Errorf("%w: a lone zero block before byte %d", ErrInvalid, s.pos)
	}
	if !b.summed() {
		return fmt.Errorf("%w: no tar header at byte %d (its checksum is wrong)", ErrInvalid, s.pos-blockSize)
	}
	if err := s.header(b); err != nil {
		return s.invalid(b.name(), err)
	}
	return nil
}

// invalid says which entry err is about, unless that is known already or the
// error isn't the tar's.
func (s *scanner) invalid(name string, err error) error {
	if s.failed || errors.Is(err, ErrInvalid) || errors.Is(err, ErrBomb) {
		return err
	}
	return fmt.Errorf("%w: entry %q at byte %d: %w", ErrInvalid, name, s.pos, err)
}

// metaDone handles the collected data of an extended header or long name.
func (s *scanner) metaDone() error {
	s.state = scanHeader
	s.skip, s.pad = -s.want&(blockSize-1), 0
	var rs []record
	var err error
	switch s.meta {
	case 'L', 'K':
		t := text(s.data)
		if s.meta == 'L' {
			s.longName = &t
		} else {
			s.longTarget = &t
		}
	case 'x':
		if rs, err = parseRecords(s.data); err == nil {
			s.local = append(s.local, rs...)
			if s.localSize += s.want + blockSize; s.localSize > maxLocal {
				err = errors.New("extended headers without end")
			}
		}
	case 'g':
		if rs, err = parseRecords(s.data); err == nil {
			err = s.setGlobal(rs)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: before byte %d: %w", ErrInvalid, s.pos, err)
	}
	return nil
}

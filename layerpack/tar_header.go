package layerpack

import (
	"errors"
	"fmt"
	"strings"
)

// header handles one header block: it begins an extended header, or is an
// entry, with what the extended headers before it say. An error without
// ErrInvalid is about the entry of that header.
func (s *scanner) header(b tarBlock) error {
	typ := b[156]
	size, err := parseNumber(b[124:136])
	if err != nil {
		return fmt.Errorf("size: %w", err)
	}
	if strings.IndexByte("xgLK", typ) >= 0 {
		if size < 0 || size > maxExtHeader {
			return fmt.Errorf("an extended header of %d bytes", size)
		}
		s.meta, s.want, s.data, s.state = typ, size, s.data[:0], scanMeta
		if size == 0 {
			return s.metaDone()
		}
		return nil
	}
	o, err := s.overrides()
	if err != nil {
		return err
	}
	e := &s.e
	*e = entry{name: b.name(), target: text(b[157:257]), xattrs: o.xattrs}
	if o.name != nil {
		e.name = *o.name
	}
	if o.target != nil {
		e.target = *o.target
	}
	if s.longName != nil {
		e.name = *s.longName
	}
	if s.longTarget != nil {
		e.target = *s.longTarget
	}
	if o.sparse.name != "" {
		e.name = o.sparse.name
	}
	s.local, s.localSize, s.longName, s.longTarget = nil, 0, nil, nil
	if o.size != nil {
		size = *o.size
	}
	if size < 0 {
		return fmt.Errorf("a size of %d bytes", size)
	}
	if err := e.attributes(b, &o); err != nil {
		return s.invalid(e.name, err)
	}
	e.off = s.pos
	if err := s.typed(b, typ, size, &o); err != nil {
		return s.invalid(e.name, err)
	}
	return nil
}

// attributes reads what all kinds of entries have.
func (e *entry) attributes(b tarBlock, o *override) error {
	mode, err := parseNumber(b[100:108])
	if err != nil {
		return fmt.Errorf("mode: %w", err)
	}
	e.mode = uint32(mode & 07777)
	if e.uid, err = owner(b[108:116], o.uid); err != nil {
		return fmt.Errorf("uid: %w", err)
	}
	if e.gid, err = owner(b[116:124], o.gid); err != nil {
		return fmt.Errorf("gid: %w", err)
	}
	if o.mtime != nil {
		e.mtime, e.nsec, err = parseTime(*o.mtime)
	} else if e.mtime, err = parseNumber(b[136:148]); err != nil {
		err = fmt.Errorf("mtime: %w", err)
	}
	return err
}

func owner(field []byte, override *int64) (uint32, error) {
	v, err := int64(0), error(nil)
	if override != nil {
		v = *override
	} else if v, err = parseNumber(field); err != nil {
		return 0, err
	}
	if v < 0 || v > maxID {
		return 0, fmt.Errorf("%d is none", v)
	}
	return uint32(v), nil
}

// typed finishes the entry by its type.
func (s *scanner) typed(b tarBlock, typ byte, size int64, o *override) error {
	e := &s.e
	if typ == 0 && strings.HasSuffix(e.name, "/") {
		typ = '5' // the way of archives older than POSIX
	}
	switch typ {
	case 0, '0', '7', 'S':
		return s.file(b, typ, size, o)
	case '1':
		e.kind = kindHardLink
	case '2':
		e.kind = kindSymlink
	case '3', '4':
		e.kind = kindChar
		if typ == '4' {
			e.kind = kindBlock
		}
		major, err1 := parseNumber(b[329:337])
		minor, err2 := parseNumber(b[337:345])
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if major < 0 || major > maxMajor || minor < 0 || minor > maxMinor {
			return fmt.Errorf("device %d:%d can't exist", major, minor)
		}
		e.major, e.minor = uint32(major), uint32(minor)
	case '5':
		e.kind = kindDir
	case 'D': // GNU's incremental backups: a directory, with a list of names as data
		e.kind = kindDir
		s.pass(size)
	case '6':
		e.kind = kindFifo
	case 'V': // a volume's label is no entry
		s.pass(size)
		return nil
	default:
		return fmt.Errorf("entries of type %q are not supported", typ)
	}
	if s.skip < 0 {
		return fmt.Errorf("a size of %d bytes", size)
	}
	return s.done()
}

// file handles an entry with data of size bytes.
func (s *scanner) file(b tarBlock, typ byte, size int64, o *override) error {
	e := &s.e
	e.size = size
	if padded(size) < 0 {
		return fmt.Errorf("a size of %d bytes", size)
	}
	version, err := o.sparse.version()
	if err != nil {
		return err
	}
	if typ != 'S' && version < 0 {
		s.pass(size)
		return s.done()
	}
	e.holes, s.stored = true, size
	if o.sparse.size != nil {
		e.size = *o.sparse.size
	} else if typ != 'S' {
		return errors.New("a sparse file without size")
	}
	switch {
	case typ == 'S':
		if o.sparse.size == nil {
			if e.size, err = parseNumber(b[483:495]); err != nil || e.size < 0 {
				return errors.New("a sparse file without size")
			}
		}
		if s.pairs, err = gnuSparse(s.pairs[:0], b[386:482], 4); err != nil {
			return err
		}
		if b[482] != 0 {
			s.state = scanGNUSparse
			return nil
		}
		return s.sparseDone(s.pairs)
	case version == 0:
		return s.sparseDone(o.sparse.pairs)
	}
	s.sparse = mapParser{want: -1}
	s.state = scanMap
	return nil
}

// sparseDone finishes a sparse file, whose map is known and whose data begins
// at pos.
func (s *scanner) sparseDone(pairs []int64) error {
	s.state = scanHeader
	var err error
	s.e.off = s.pos
	if s.e.sparse, err = runsOf(pairs, s.e.size, s.pos, s.stored); err != nil {
		return s.invalid(s.e.name, err)
	}
	s.pass(s.stored)
	return s.done()
}

// done has the entry handed out once its data has passed. What has no name is nothing that could be
// made, and passed over. (moby/go-archive.Unpack)
func (s *scanner) done() error {
	if s.e.name == "" {
		return nil
	}
	if err := checkEntry(&s.e); err != nil {
		return s.invalid(s.e.name, err)
	}
	if s.count++; s.count > maxEntries {
		return fmt.Errorf("%w: more than %d entries", ErrBomb, maxEntries)
	}
	s.stargz.begin(&s.e)
	if s.skip > 0 {
		s.held = true
		return nil
	}
	return s.release()
}

// release hands the entry out.
func (s *scanner) release() error {
	s.held = false
	s.e.end, s.e.sum, s.sum = s.pos+s.skip, s.sum, 0
	s.e.stargz = s.stargz.end()
	err := s.emit(&s.e)
	s.failed = err != nil
	return err
}

// padded is size rounded up to whole blocks; negative if that is too large.
func padded(size int64) int64 { return (size + blockSize - 1) &^ (blockSize - 1) }

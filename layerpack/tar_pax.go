package layerpack

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// record is one keyword of an extended header.
type record struct{ key, value string }

// The prefixes of keywords that carry extended attributes: star's, whose value
// is raw, and libarchive's, whose name is percent-encoded and whose value is base64.
const (
	paxXattr   = "SCHILY.xattr."
	paxXattr64 = "LIBARCHIVE.xattr."
	paxSparse  = "GNU.sparse."

	maxExtHeader = 1 << 20  // bytes of one extended header or long name
	maxLocal     = 4 << 20  // bytes of all extended headers of one entry
	maxGlobals   = 64 << 10 // bytes of all global keywords, which every entry repeats
	maxXattrs    = 1024     // of one entry
)

// parseRecords splits an extended header: "LENGTH KEY=VALUE\n", where the
// length, decimal, counts all of it.
func parseRecords(b []byte) ([]record, error) {
	var rs []record
	for len(b) > 0 {
		// Some writers pad the header with NULs.
		if b[0] == 0 {
			break
		}
		sp := bytes.IndexByte(b, ' ')
		if sp < 1 || sp > 8 {
			return nil, fmt.Errorf("an extended header has a record without length")
		}
		n, err := strconv.ParseUint(string(b[:sp]), 10, 32)
		if err != nil || n > uint64(len(b)) || int(n) < sp+3 || b[n-1] != '\n' {
			return nil, fmt.Errorf("an extended header has a record of a wrong length")
		}
		key, value, ok := strings.Cut(string(b[sp+1:n-1]), "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("an extended header has a record without key")
		}
		rs = append(rs, record{key, value})
		b = b[n:]
	}
	return rs, nil
}

// setGlobal makes rs hold for all entries that follow, until they are set
// again; an empty value ends it.
func (s *scanner) setGlobal(rs []record) error {
	for _, r := range rs {
		kept := s.global[:0]
		for _, g := range s.global {
			if g.key != r.key {
				kept = append(kept, g)
			}
		}
		s.global = kept
		if r.value != "" {
			s.global = append(s.global, r)
		}
	}
	size := 0
	for _, g := range s.global {
		size += len(g.key) + len(g.value)
	}
	if size > maxGlobals || len(s.global) > 256 {
		return fmt.Errorf("global extended headers of %d bytes", size)
	}
	return nil
}

// override is what extended headers say of the entry that follows them.
type override struct {
	name, target   *string
	size, uid, gid *int64
	mtime          *string
	xattrs         []xattr
	sparse         sparseHeader
}

// overrides merges the global keywords with the entry's own, which win. An
// empty value takes a global keyword back, except that an extended attribute of
// the entry may be empty.
func (s *scanner) overrides() (override, error) {
	var o override
	var encoded []xattr
	for i := range len(s.global) + len(s.local) {
		own := i >= len(s.global)
		var r *record
		if own {
			r = &s.local[i-len(s.global)]
		} else {
			r = &s.global[i]
		}
		var err error
		switch {
		case r.key == "path":
			o.name, err = textValue(r)
		case r.key == "linkpath":
			o.target, err = textValue(r)
		case r.key == "mtime":
			o.mtime, err = textValue(r)
		case r.key == "size":
			o.size, err = numberValue(r)
		case r.key == "uid":
			o.uid, err = numberValue(r)
		case r.key == "gid":
			o.gid, err = numberValue(r)
		case strings.HasPrefix(r.key, paxXattr):
			o.xattrs = setXattr(o.xattrs, r.key[len(paxXattr):], r.value)
		case strings.HasPrefix(r.key, paxXattr64):
			encoded, err = decodeXattr(encoded, r)
		case own && strings.HasPrefix(r.key, paxSparse):
			err = o.sparse.set(r.key[len(paxSparse):], r.value)
		}
		if err == nil && len(o.xattrs)+len(encoded) > maxXattrs {
			err = fmt.Errorf("more than %d extended attributes", maxXattrs)
		}
		if err != nil {
			return o, err
		}
	}
	for _, x := range encoded {
		if !hasXattr(o.xattrs, x.name) {
			o.xattrs = append(o.xattrs, x)
		}
	}
	for _, x := range o.xattrs {
		if x.name == "" || len(x.name) > maxName || strings.IndexByte(x.name, 0) >= 0 || len(x.value) > 0xffff {
			return o, fmt.Errorf("extended attribute %q with a value of %d bytes", x.name, len(x.value))
		}
	}
	return o, nil
}

func textValue(r *record) (*string, error) {
	if r.value == "" {
		return nil, nil
	}
	if strings.IndexByte(r.value, 0) >= 0 {
		return nil, fmt.Errorf("%s has a NUL in it", r.key)
	}
	return &r.value, nil
}

func numberValue(r *record) (*int64, error) {
	if r.value == "" {
		return nil, nil
	}
	v, err := strconv.ParseInt(r.value, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s %q is not a number", r.key, r.value)
	}
	return &v, nil
}

func decodeXattr(xs []xattr, r *record) ([]xattr, error) {
	name, err := url.PathUnescape(r.key[len(paxXattr64):])
	if err != nil {
		return xs, fmt.Errorf("extended attribute %q: bad name", r.key)
	}
	value, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(r.value, "="))
	if err != nil {
		return xs, fmt.Errorf("extended attribute %q: bad base64", name)
	}
	return setXattr(xs, name, string(value)), nil
}

func setXattr(xs []xattr, name, value string) []xattr {
	for i := range xs {
		if xs[i].name == name {
			xs[i].value = value
			return xs
		}
	}
	return append(xs, xattr{name, value})
}

func hasXattr(xs []xattr, name string) bool {
	for _, x := range xs {
		if x.name == name {
			return true
		}
	}
	return false
}

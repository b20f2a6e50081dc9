package layerpack

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// A member is one member of a tar that is to be written. Its header is in the
// ustar format (POSIX.1-2008 pax, "ustar Interchange Format"), and has an
// extended header of the pax format before it only for what ustar can't hold:
// long or non-ASCII names, times with a fraction, before 1970 or after 2242,
// large numbers, extended attributes, holes. No user and group names, no access
// and change times: they are the host's. But for what it can't write, which is
// sparse files, attributes with a "=" in their names and names that are not
// UTF-8, this is byte by byte what Go's archive/tar writes, of which Docker's
// layers are made. Names that are not UTF-8 are written as they are, as GNU tar
// does.
type member struct {
	typ          byte
	name         string // of a directory with a slash at the end
	target       string // of a link
	mode         uint32 // permission bits
	uid, gid     uint32
	mtime        int64
	nsec         uint32
	size         int64 // bytes, holes included
	major, minor uint32
	xattrs       map[string]string
	sparse       []cow.Extent // data of a file that has holes
	holes        bool         // it has some
}

// Longest values of the header's fields.
const (
	fieldName   = 100
	fieldPrefix = 155
	maxOctal8   = 1<<21 - 1 // of 8 bytes: 7 digits and a NUL
	maxOctal12  = 1<<33 - 1
)

// append appends the member's headers, and the map of a sparse file, which is
// the beginning of its data. Stored is the length of the data with that map.
func (m *member) append(b []byte) (_ []byte, stored int64, err error) {
	var sparseMap []byte
	stored = m.size
	if m.holes {
		sparseMap = appendSparseMap(nil, m.sparse, m.size)
		stored = int64(len(sparseMap))
		for _, e := range m.sparse {
			stored += e.Len
		}
	}
	records := m.records(stored)
	prefix, name := "", m.name
	if m.holes {
		name = besideName(m.name, "GNUSparseFile.0")
	} else if len(name) > fieldName {
		var ok bool
		if prefix, name, ok = splitName(m.name); !ok || len(records) > 0 {
			prefix, name = "", m.name
			if ascii(name) {
				records = append(records, record{"path", name})
			}
		}
	}
	if len(records) > 0 {
		if b, err = appendExtended(b, m.name, records); err != nil {
			return b, 0, err
		}
	}
	b = append(b, padding[:]...)
	h := tarBlock(b[len(b)-blockSize:])
	putText(h[0:100], asciiOnly(name))
	putOctal(h[100:108], int64(m.mode))
	putOctal(h[108:116], int64(m.uid))
	putOctal(h[116:124], int64(m.gid))
	putOctal(h[124:136], stored)
	putOctal(h[136:148], m.mtime)
	h[156] = m.typ
	putText(h[157:257], asciiOnly(m.target))
	putOctal(h[329:337], int64(m.major))
	putOctal(h[337:345], int64(m.minor))
	putText(h[345:500], prefix)
	h.seal()
	return append(b, sparseMap...), stored, nil
}

// records are the keywords of the extended header, but for that of a name which
// is only too long.
func (m *member) records(stored int64) []record {
	var r []record
	add := func(key, value string) { r = append(r, record{key, value}) }
	switch {
	case m.holes:
		add("GNU.sparse.major", "1")
		add("GNU.sparse.minor", "0")
		add("GNU.sparse.name", m.name)
		add("GNU.sparse.realsize", strconv.FormatInt(m.size, 10))
	case !ascii(m.name):
		add("path", m.name)
	}
	if len(m.target) > fieldName || !ascii(m.target) {
		add("linkpath", m.target)
	}
	if m.uid > maxOctal8 {
		add("uid", strconv.FormatUint(uint64(m.uid), 10))
	}
	if m.gid > maxOctal8 {
		add("gid", strconv.FormatUint(uint64(m.gid), 10))
	}
	if stored > maxOctal12 {
		add("size", strconv.FormatInt(stored, 10))
	}
	if m.nsec != 0 || m.mtime < 0 || m.mtime > maxOctal12 {
		add("mtime", paxTime(m.mtime, m.nsec))
	}
	for name, value := range m.xattrs {
		if strings.Contains(name, "=") {
			// The first "=" ends a keyword; libarchive's form encodes it.
			add(paxXattr64+strings.ReplaceAll(url.PathEscape(name), "=", "%3D"), base64.StdEncoding.EncodeToString([]byte(value)))
			continue
		}
		add(paxXattr+name, value)
	}
	return r
}

// appendExtended appends an extended header of records, in the order of their
// keys, for a member called name.
func appendExtended(b []byte, name string, records []record) ([]byte, error) {
	slices.SortFunc(records, func(a, b record) int { return strings.Compare(a.key, b.key) })
	head := len(b)
	b = append(b, padding[:]...)
	for _, r := range records {
		b = appendRecord(b, r.key, r.value)
	}
	size := len(b) - head - blockSize
	if size > maxExtHeader {
		return b, fmt.Errorf("an extended header of %d bytes, of which %d can be read again", size, maxExtHeader)
	}
	h := tarBlock(b[head : head+blockSize])
	beside := asciiOnly(besideName(name, "PaxHeaders.0"))
	putText(h[0:100], strings.TrimRight(beside[:min(len(beside), fieldName)], "/"))
	for _, field := range [][]byte{h[100:108], h[108:116], h[116:124], h[136:148]} {
		putOctal(field, 0)
	}
	putOctal(h[124:136], int64(size))
	h[156] = 'x'
	h.seal()
	return appendPadding(b, int64(size)), nil
}

// appendRecord appends "LENGTH KEY=VALUE\n", whose length counts itself.
func appendRecord(b []byte, key, value string) []byte {
	n := len(key) + len(value) + 3
	size := n + len(strconv.Itoa(n))
	size = n + len(strconv.Itoa(size))
	b = append(strconv.AppendInt(b, int64(size), 10), ' ')
	b = append(append(b, key...), '=')
	return append(append(b, value...), '\n')
}

// appendSparseMap appends the map of format 1.0 (GNU tar manual, "Storing
// Sparse Files"), in whole blocks. A hole at the end has an empty run behind it,
// by which GNU tar knows the size.
func appendSparseMap(b []byte, runs []cow.Extent, size int64) []byte {
	n := len(runs)
	ended := n > 0 && runs[n-1].Off+runs[n-1].Len == size
	if !ended {
		n++
	}
	b = append(strconv.AppendInt(b, int64(n), 10), '\n')
	for _, r := range runs {
		b = append(strconv.AppendInt(b, r.Off, 10), '\n')
		b = append(strconv.AppendInt(b, r.Len, 10), '\n')
	}
	if !ended {
		b = append(strconv.AppendInt(b, size, 10), "\n0\n"...)
	}
	return appendPadding(b, int64(len(b)))
}

// appendPadding fills the block up in which size bytes end.
func appendPadding(b []byte, size int64) []byte {
	return append(b, padding[:padded(size)-size]...)
}

// seal writes what tells the format, and the checksum.
func (b tarBlock) seal() {
	copy(b[257:265], "ustar\x0000")
	copy(b[148:156], "        ")
	var sum int64
	for _, c := range b {
		sum += int64(c)
	}
	putOctal(b[148:155], sum)
}

// putText writes a field that ends with a NUL unless it is full. A slash is never
// the last of a name that was cut: old readers take that for a directory's.
func putText(b []byte, s string) {
	copy(b, s)
	if len(s) > len(b) && b[len(b)-1] == '/' {
		b[len(strings.TrimRight(s[:len(b)], "/"))] = 0
	}
}

// putOctal writes a numeric field; 0 for what doesn't fit, which then is in the
// extended header.
func putOctal(b []byte, v int64) {
	digits := len(b) - 1
	if v < 0 || v >= 1<<(3*digits) {
		v = 0
	}
	for i := digits - 1; i >= 0; i-- {
		b[i] = '0' + byte(v&7)
		v >>= 3
	}
	b[digits] = 0
}

// splitName splits a long name at a slash, for the header's two fields.
func splitName(name string) (prefix, base string, ok bool) {
	length := len(name)
	if length > fieldPrefix+1 {
		length = fieldPrefix + 1
	} else if name[length-1] == '/' {
		length--
	}
	i := strings.LastIndexByte(name[:length], '/')
	if i <= 0 || len(name)-i-1 > fieldName || len(name)-i-1 == 0 || i > fieldPrefix {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

// besideName is the name that a helper of the member name goes by, in a
// directory of its own beside it.
func besideName(name, dir string) string {
	name = strings.TrimPrefix(name, "./")
	i := strings.LastIndexByte(name, '/') + 1
	return strings.TrimRight(name[:i]+dir+"/"+name[i:], "/")
}

// asciiOnly drops what a header's field has no place for.
func asciiOnly(s string) string {
	if ascii(s) {
		return s
	}
	var b []byte
	for i := range len(s) {
		if s[i] < 0x80 {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// paxTime is a time in decimal seconds, without zeros at its end.
func paxTime(sec int64, nsec uint32) string {
	var buf [40]byte
	b := buf[:0]
	if sec < 0 && nsec != 0 {
		b = append(b, '-')
		sec, nsec = -(sec + 1), 1e9-nsec
	}
	b = strconv.AppendInt(b, sec, 10)
	if nsec == 0 {
		return string(b)
	}
	b = append(b, '.')
	for unit := uint32(1e8); nsec > 0; unit /= 10 {
		b = append(b, '0'+byte(nsec/unit))
		nsec %= unit
	}
	return string(b)
}

// tarType is the type of a member for an object's mode; 0 for what a tar has
// none for.
func tarType(mode uint32) byte {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return '0'
	case unix.S_IFLNK:
		return '2'
	case unix.S_IFCHR:
		return '3'
	case unix.S_IFBLK:
		return '4'
	case unix.S_IFDIR:
		return '5'
	case unix.S_IFIFO:
		return '6'
	}
	return 0
}

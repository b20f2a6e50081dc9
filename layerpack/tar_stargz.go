package layerpack

import "bytes"

// stargz recognises the entries that an eStargz layer has besides its files:
// its table of contents, which is its last entry, and one of two landmarks,
// files of one byte. Docker unpacks them as files; they are none. Source:
// stargz-snapshotter, docs/estargz.md.
//
// The tar alone decides: a file that is called so is an ordinary one unless
// the tar ends with what is a table of contents, by its first bytes too.
type stargz struct {
	want string // how the entry at hand, unblanked, would begin; "": it is none
	toc  bool   // it would be the table of contents
	seen []byte // its first bytes
	last bool   // the last entry was a table of contents
}

const (
	stargzTOC   = `{"version":1,"entries":`
	stargzMark  = "\x0f"
	stargzFirst = 256 // bytes of an entry that are looked at
)

// begin has e looked at.
func (s *stargz) begin(e *entry) {
	*s = stargz{seen: s.seen[:0]}
	if e.kind != kindFile || e.holes || len(e.name) > 64 {
		return
	}
	switch name, _ := cleanPath(e.name); {
	case name == "stargz.index.json":
		s.want, s.toc = stargzTOC, true
	case (name == ".prefetch.landmark" || name == ".no.prefetch.landmark") && e.size == int64(len(stargzMark)):
		s.want = stargzMark
	}
}

// see takes in the next bytes of the entry's data.
func (s *stargz) see(b []byte) {
	if s.want != "" && len(s.seen) < stargzFirst {
		s.seen = append(s.seen, b[:min(len(b), stargzFirst-len(s.seen))]...)
	}
}

// end tells whether the entry is one of eStargz's.
func (s *stargz) end() bool {
	if s.want == "" {
		return false
	}
	seen := bytes.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, s.seen)
	is := bytes.HasPrefix(seen, []byte(s.want))
	s.last = is && s.toc
	return is
}

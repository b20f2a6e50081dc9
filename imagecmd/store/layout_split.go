package store

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/internal/reference"
)

// linesAbout is the part of an index.json that decides what a name stands for: the
// lines of the target that has it, and all that could take one of that target's names
// from it. To decode the others takes longer than all that is done with one image. ok
// is false where only encoding/json can tell; what is wrong with a line that the name
// has nothing to do with is not found.
func linesAbout(raw []byte, name string) (near *index, ok bool) {
	full, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, false
	}
	full = reference.TagNameOnly(full)
	all, ok := splitIndex(raw)
	if !ok {
		return nil, false
	}
	lines := make([]*line, len(all))
	escapes := bytes.IndexByte(raw, '\\') >= 0
	// look reads the lines that may hold one of some words. An escape may hide anything.
	look := func(words ...string) {
		for i, raw := range all {
			holds := func(word string) bool { return bytes.Contains(raw, []byte(word)) }
			if lines[i] != nil || !slices.ContainsFunc(words, holds) && (!escapes || bytes.IndexByte(raw, '\\') < 0) {
				continue
			}
			lines[i] = new(line)
			if json.Unmarshal(raw, lines[i]) != nil || checkDescriptor(lines[i].Descriptor) != nil {
				ok = false
			}
		}
	}
	look(spellings(full)...)
	var target digest.Digest // the last line counts
	for _, l := range lines {
		if l == nil {
			continue
		}
		if n := l.name(); n != nil && n.String() == full.String() {
			target = l.Digest
		}
	}
	if target != "" {
		look(string(target))
	}
	near = &index{SchemaVersion: 2}
	for _, l := range lines {
		if l == nil || l.Digest != target {
			continue
		}
		if n := l.name(); n != nil {
			look(spellings(n)...)
		}
	}
	for _, l := range lines {
		if l != nil {
			near.Manifests = append(near.Manifests, *l)
		}
	}
	return near, ok
}

// spellings are how a name ends, one or the other, where a JSON string spells it: domain
// and path may be implied, and so may the tag latest.
func spellings(n reference.Named) []string {
	full, component := n.String(), strings.LastIndexByte(n.Name(), '/')+1
	words := []string{full[component:] + `"`}
	if short, ok := strings.CutSuffix(full, ":latest"); ok {
		words = append(words, short[component:]+`"`)
	}
	return words
}

// splitIndex gives the lines of an index.json as they stand there. It is as strict as
// it must be to find where each ends, and leaves what is unusual, and what is wrong,
// to others: ok is false then.
func splitIndex(raw []byte) (lines [][]byte, ok bool) {
	s := splitter{raw, 0}
	version, list := false, false
	ok = s.list('{', '}', func() bool {
		key, ok := s.value()
		if !ok || s.next() != ':' {
			return false
		}
		s.at++
		switch string(key) {
		case `"manifests"`:
			if list {
				return false
			}
			list = true
			return s.next() == '[' && s.list('[', ']', func() bool {
				l, ok := s.value()
				lines = append(lines, l)
				return ok
			})
		case `"schemaVersion"`:
			v, ok := s.value()
			if version || string(v) != "2" {
				return false
			}
			version = true
			return ok
		}
		// encoding/json takes a key whatever its case.
		if bytes.EqualFold(key, []byte(`"manifests"`)) || bytes.EqualFold(key, []byte(`"schemaVersion"`)) || bytes.IndexByte(key, '\\') >= 0 {
			return false
		}
		_, ok = s.value()
		return ok
	})
	return lines, ok && version && s.next() == 0 && s.at == len(raw)
}

// A splitter finds where JSON values end.
type splitter struct {
	b  []byte
	at int
}

// next is the first byte that is no space, which it stops at; 0 at the end.
func (s *splitter) next() byte {
	for ; s.at < len(s.b); s.at++ {
		switch c := s.b[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// list goes over an object or an array, and has each take the members.
func (s *splitter) list(begin, end byte, each func() bool) bool {
	if s.next() != begin {
		return false
	}
	s.at++
	if s.next() == end {
		s.at++
		return true
	}
	for {
		if !each() {
			return false
		}
		c := s.next()
		s.at++
		if c != ',' {
			return c == end
		}
	}
}

// value is a value of any kind.
func (s *splitter) value() (v []byte, ok bool) {
	s.next()
	start, depth := s.at, 0
	for s.at < len(s.b) {
		c := s.b[s.at]
		switch c {
		case '"':
			if !s.text() {
				return nil, false
			}
		case '{', '[':
			depth++
			s.at++
		case '}', ']', ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return s.b[start:s.at], s.at > start
			}
			s.at++
			if c == '}' || c == ']' {
				depth--
			}
		default:
			s.at++
		}
		if depth == 0 && (c == '"' || c == '}' || c == ']') {
			return s.b[start:s.at], true
		}
	}
	return nil, false
}

// text stops after a string.
func (s *splitter) text() bool {
	for s.at++; ; {
		end := bytes.IndexByte(s.b[s.at:], '"')
		if end < 0 {
			return false
		}
		escape := bytes.IndexByte(s.b[s.at:s.at+end], '\\')
		if escape < 0 {
			s.at += end + 1
			return true
		}
		s.at += escape + 2 // whatever it is of, the quote among them
	}
}

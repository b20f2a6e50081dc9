package buildcontext

import (
	"fmt"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// An Ignore is what an ignore file leaves out of a context, by the rules of
// moby/patternmatcher. It may be used by several goroutines.
type Ignore struct {
	patterns
}

// maxIgnore bounds an ignore file, in bytes.
const maxIgnore = 16 << 20

// ParseIgnore reads an ignore file; nil if it has no pattern.
func ParseIgnore(r io.Reader) (*Ignore, error) {
	lines, err := ignorefile.ReadAll(io.LimitReader(r, maxIgnore))
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	p, err := newPatterns(lines)
	if err != nil || p == nil {
		return nil, err
	}
	return &Ignore{*p}, nil
}

// Match tells whether path, slash-separated and relative to the context, is left
// out, by itself or with a directory that holds it.
func (i *Ignore) Match(path string) (bool, error) { return i.match(path) }

// Exceptions tells whether a pattern begins with "!": what a directory holds may then
// be in the context though the directory isn't.
func (i *Ignore) Exceptions() bool { return i.m.Exclusions() }

// patterns are those of an ignore file or of an option. The matcher compiles them when
// they are first used, and so is for one goroutine at a time.
type patterns struct {
	m *patternmatcher.PatternMatcher

	mu   *sync.Mutex
	dirs map[string]patternmatcher.MatchInfo // guarded by mu
}

// newPatterns is nil for no pattern.
func newPatterns(lines []string) (*patterns, error) {
	m, err := patternmatcher.New(lines)
	if err != nil {
		for _, l := range lines {
			if _, err := patternmatcher.New([]string{l}); err != nil {
				return nil, fmt.Errorf("pattern %q: %w", l, err)
			}
		}
		return nil, err
	}
	if len(m.Patterns()) == 0 {
		return nil, nil
	}
	return &patterns{m: m, mu: new(sync.Mutex), dirs: map[string]patternmatcher.MatchInfo{}}, nil
}

// match tells whether the relative path p, or a directory that holds it, matches.
func (s *patterns) match(p string) (bool, error) {
	if p = strings.Trim(path.Clean("/"+p), "/"); p == "" {
		return false, nil // the root itself
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	parent, err := s.dir(path.Dir(p))
	if err != nil {
		return false, err
	}
	ok, _, err := s.m.MatchesUsingParentResults(p, parent)
	return ok, err
}

// dir is what is known of the directory at p, for what it holds. The caller holds mu.
func (s *patterns) dir(p string) (info patternmatcher.MatchInfo, err error) {
	if p == "." {
		return info, nil
	}
	info, ok := s.dirs[p]
	if ok {
		return info, nil
	}
	parent, err := s.dir(path.Dir(p))
	if err == nil {
		_, info, err = s.m.MatchesUsingParentResults(p, parent)
	}
	if err == nil {
		s.dirs[p] = info
	}
	return info, err
}

// below tells whether a directory that matches may hold what doesn't: whether an
// exception may be about something below it.
func (s *patterns) below(dir string) bool {
	for _, p := range s.m.Patterns() {
		if p.Exclusion() && mayMeet(strings.Split(dir, "/"), strings.Split(p.String(), "/")) {
			return true
		}
	}
	return false
}

// mayMeet tells whether the pattern could match something below the directory, or the directory.
func mayMeet(dir, pattern []string) bool {
	for i, name := range dir {
		if i == len(pattern) {
			return true // the pattern is of a directory above
		}
		if pattern[i] == "**" || strings.Contains(pattern[i], "**") {
			return true
		}
		if ok, err := path.Match(pattern[i], name); err == nil && !ok {
			return false
		}
	}
	return true
}

// ignoring is a tree without what is ignored.
type ignoring struct {
	tree
	ignore *Ignore
}

// keeps tells whether o at p is in the tree: directories are, too, that hold something which is.
func (t ignoring) keeps(p string, o *object) (bool, error) {
	out, err := t.ignore.match(p)
	if err != nil || !out {
		return !out, err
	}
	if !o.isDir() || !t.ignore.Exceptions() || !t.ignore.below(strings.TrimPrefix(p, "/")) {
		return false, nil
	}
	kids, err := t.tree.list(p)
	if err != nil {
		return false, err
	}
	for i := range kids {
		if ok, err := t.keeps(path.Join(p, kids[i].name), &kids[i]); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (t ignoring) stat(p string) (object, bool, error) {
	o, ok, err := t.tree.stat(p)
	if ok && err == nil {
		ok, err = t.keeps(p, &o)
	}
	return o, ok && err == nil, err
}

func (t ignoring) list(p string) ([]object, error) {
	all, err := t.tree.list(p)
	if err != nil {
		return nil, err
	}
	kept := all[:0]
	for i := range all {
		ok, err := t.keeps(path.Join(p, all[i].name), &all[i])
		if err != nil {
			return nil, err
		}
		if ok {
			kept = append(kept, all[i])
		}
	}
	return kept, nil
}

package buildcontext

import "io"

// An Ignore is what an ignore file leaves out of a context, by the rules of
// moby/patternmatcher. It may be used by several goroutines.
type Ignore struct{}

// ParseIgnore reads an ignore file; nil if it has no pattern.
func ParseIgnore(r io.Reader) (*Ignore, error) { return nil, errUnfinished }

// Match tells whether path, slash-separated and relative to the context, is left
// out, by itself or with a directory that holds it.
func (i *Ignore) Match(path string) (bool, error) { return false, errUnfinished }

// Exceptions tells whether a pattern begins with "!": what a directory holds may then
// be in the context though the directory isn't.
func (i *Ignore) Exceptions() bool { return false }

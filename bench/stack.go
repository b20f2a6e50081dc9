package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Stack is what a union of plain directories is mounted from.
type Stack struct {
	Lowers []string // top first
	Upper  string   // empty: read-only
	Work   string
	Target string
}

// prepare makes the directories that are written to.
func (s *Stack) prepare() error {
	for _, d := range []string{s.Upper, s.Work} {
		if d == "" {
			continue
		}
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// options are those that every mount program takes.
func (s *Stack) options() string {
	o := "lowerdir=" + strings.Join(s.Lowers, ":")
	if s.Upper != "" {
		o += ",upperdir=" + s.Upper + ",workdir=" + s.Work
	}
	return o
}

// Over implements [Contestant].
func (s *Stack) Over(f Fixture, _ bool) error {
	s.Lowers = f.Lowers
	return nil
}

// Discard implements [Contestant].
func (s *Stack) Discard() error {
	for _, d := range []string{s.Upper, s.Work} {
		if err := os.RemoveAll(d); err != nil {
			return fmt.Errorf("discard an upper: %w", err)
		}
	}
	return nil
}

// Used implements [Spacer]: what all uppers take that lie beside this one.
func (s *Stack) Used() (int64, error) { return DiskUsage(filepath.Dir(filepath.Dir(s.Upper))) }

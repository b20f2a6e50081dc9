package dockerfile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/cfs-project/cfs/internal/hint"
)

// Sentinels of this package.
var (
	// ErrNoStage is returned for a Dockerfile whose first instruction needs a FROM before it.
	ErrNoStage = errors.New("no build stage in current context")
	// ErrUnsupported is what the syntax allows and cfs doesn't do.
	ErrUnsupported = errors.New("not supported by cfs")
)

// MaxSize bounds a Dockerfile, in bytes.
const MaxSize = 8 << 20

// A File is a Dockerfile as it is written.
type File struct {
	Stages   []instructions.Stage
	Args     []instructions.ArgCommand // before the first FROM
	Escape   rune                      // what escapes a character, and the end of a line
	Warnings []string                  // of the parser
}

// Parse reads a Dockerfile. Errors of syntax name the line, in Docker's words.
func Parse(src []byte) (*File, error) {
	if len(src) > MaxSize {
		return nil, fmt.Errorf("the Dockerfile is larger than %d MiB", MaxSize>>20)
	}
	if err := checkSyntax(src); err != nil {
		return nil, err
	}
	tree, err := parser.Parse(bytes.NewReader(src))
	if err != nil {
		return nil, located(err)
	}
	f := &File{Escape: tree.EscapeToken}
	for _, w := range tree.Warnings {
		f.Warnings = append(f.Warnings, w.Short)
	}
	for _, n := range tree.AST.Children {
		if err := f.add(n); err != nil {
			return nil, err
		}
	}
	if len(f.Stages) == 0 {
		return nil, ErrNoStage
	}
	return f, nil
}

// add takes in one instruction.
func (f *File) add(n *parser.Node) error {
	parsed, err := instructions.ParseInstruction(n)
	if err != nil {
		return lineError(n.StartLine, err)
	}
	switch c := parsed.(type) {
	case *instructions.Stage:
		f.Stages = append(f.Stages, *c)
		return nil
	case *instructions.ArgCommand:
		if len(f.Stages) == 0 {
			f.Args = append(f.Args, *c)
			return nil
		}
	}
	if len(f.Stages) == 0 {
		return ErrNoStage
	}
	c, ok := parsed.(instructions.Command)
	if !ok {
		return lineError(n.StartLine, fmt.Errorf("%T is not an instruction", parsed))
	}
	if err := refuse(c); err != nil {
		return lineError(n.StartLine, err)
	}
	f.Stages[len(f.Stages)-1].AddCommand(c)
	return nil
}

// A LineError is an error with the line of the Dockerfile that it is about.
type LineError struct {
	Line int // from 1
	Err  error
}

func (e *LineError) Error() string {
	return fmt.Sprintf("dockerfile parse error line %d: %v", e.Line, e.Err)
}
func (e *LineError) Unwrap() error { return e.Err }

var guess = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(` \(did you mean ([^)]+)\?\)$`) })

// lineError is err at a line. What the parser guesses was meant becomes a hint.
func lineError(line int, err error) error {
	text := err.Error()
	if m := guess().FindStringSubmatch(text); m != nil {
		return hint.With(&LineError{line, errors.New(strings.TrimSuffix(text, m[0]))}, "did you mean "+m[1]+"?")
	}
	return &LineError{line, err}
}

// located is an error of the parser, which keeps the line to itself.
func located(err error) error {
	var at *parser.LocationError
	if errors.As(err, &at) && len(at.Locations) > 0 && len(at.Locations[0]) > 0 {
		return &LineError{at.Locations[0][0].Start.Line, err}
	}
	return fmt.Errorf("dockerfile parse error: %w", err)
}

// Line is where an instruction begins; 0 where that is not known.
func Line(c instructions.Command) int {
	if at := c.Location(); len(at) > 0 {
		return at[0].Start.Line
	}
	return 0
}

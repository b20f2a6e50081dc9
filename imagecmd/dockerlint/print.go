package dockerlint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Broken tells whether a rule is broken or the file can't be built: the exit status of
// `build --check` is 1 then, and 0 otherwise.
func (r *Result) Broken() bool { return len(r.Warnings) > 0 || r.Failure != nil }

// Print writes what buildx prints of the warnings (docker/buildx, commands/build.go, and
// buildkit/frontend/subrequests/lint).
func (r *Result) Print(w io.Writer) error {
	var b bytes.Buffer
	switch n := len(r.Warnings); {
	case n == 1:
		b.WriteString("Check complete, 1 warning has been found!\n")
	case n > 1:
		fmt.Fprintf(&b, "Check complete, %d warnings have been found!\n", n)
	case r.Failure == nil:
		b.WriteString("Check complete, no warnings found.\n")
	}
	for _, x := range r.Warnings {
		fmt.Fprintf(&b, "\nWARNING: %s", x.Rule)
		if x.URL != "" {
			fmt.Fprintf(&b, " - %s", x.URL)
		}
		fmt.Fprintf(&b, "\n%s\n", x.Detail)
		r.source(&b, x.Location)
	}
	if len(r.Warnings) > 0 && r.Failure != nil {
		b.WriteByte('\n')
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Err is the failure with the lines that it is about; nil if there is none.
func (r *Result) Err() error {
	if r.Failure == nil {
		return nil
	}
	var b bytes.Buffer
	b.WriteString(r.Failure.Error())
	if at, ok := errors.AsType[*parser.LocationError](r.Failure); ok {
		b.WriteByte('\n')
		r.source(&b, slices.Concat(at.Locations...))
	}
	return errors.New(strings.TrimSuffix(b.String(), "\n"))
}

// source writes the lines of the file that at is about, marked, with some around them. (buildkit/solver/errdefs.Source.Print)
func (r *Result) source(b *bytes.Buffer, at []parser.Range) {
	lines := strings.Split(string(r.text), "\n")
	marked := map[int]bool{}
	first, last := len(lines)+1, 0
	for _, x := range at {
		end := max(x.Start.Line, x.End.Line)
		first, last = min(first, x.Start.Line), max(last, end)
		for l := max(x.Start.Line, 1); l <= min(end, len(lines)); l++ {
			marked[l] = true
		}
	}
	if first > len(lines) || first < 1 {
		return
	}
	last = min(last, len(lines))
	around := 2
	if first == last {
		around = 4
	}
	from := first
	for n := 0; n < around; n++ {
		if from > 1 {
			from--
			n++
		}
		if last != len(lines) {
			last++
			n++
		}
	}
	fmt.Fprintf(b, "%s:%d\n--------------------\n", r.name, first)
	for l := from; l <= last; l++ {
		mark := "   "
		if marked[l] {
			mark = ">>>"
		}
		fmt.Fprintf(b, " %3d | %s %s\n", l, mark, lines[l-1])
	}
	b.WriteString("--------------------\n")
}

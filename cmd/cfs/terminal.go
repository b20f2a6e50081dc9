package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cfs-project/cfs/internal/hint"
)

// terminal is everything cfs says to a person. Data goes to out; the rest is
// talk and goes to err, so that a pipe gets data alone.
type terminal struct {
	in  *os.File
	out io.Writer
	err io.Writer
	now time.Time // what ages are counted from; zero is the clock

	lost error // why print couldn't write: the command has failed
}

// print writes data: what the command was asked for.
func (t *terminal) print(format string, a ...any) {
	if _, err := fmt.Fprintf(t.out, format, a...); err != nil && t.lost == nil {
		t.lost = err
	}
}

// note says what happened, or what will.
func (t *terminal) note(format string, a ...any) { fmt.Fprintf(t.err, format+"\n", a...) }

// warn says what may not be what the person meant; the command goes on.
func (t *terminal) warn(format string, a ...any) {
	fmt.Fprintf(t.err, "cfs: warning: "+format+"\n", a...)
}

// fail says why the command failed, with the error's hint if it carries one.
func (t *terminal) fail(err error) {
	fmt.Fprintf(t.err, "cfs: %v\n", err)
	if text := hint.Of(err); text != "" {
		fmt.Fprintf(t.err, "hint: %s\n", text)
	}
}

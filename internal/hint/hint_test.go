package hint

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestHint(t *testing.T) {
	inner := With(io.EOF, "try again")
	outer := fmt.Errorf("read: %w", inner)
	if !errors.Is(outer, io.EOF) || outer.Error() != "read: EOF" || Of(outer) != "try again" {
		t.Errorf("error %q, hint %q", outer, Of(outer))
	}
	if got := Of(With(outer, "don't")); got != "don't" {
		t.Errorf("the outer hint is %q", got)
	}
	if With(nil, "x") != nil || With(io.EOF, "") != io.EOF || Of(io.EOF) != "" || Of(nil) != "" {
		t.Error("a hint where there is none to have")
	}
}

package imagecmd

import "fmt"

// A sentence is an error in Docker's words, which begin with a capital letter where Go's
// don't.
type sentence struct {
	text  string
	cause error // or nil
}

func (s *sentence) Error() string { return s.text }
func (s *sentence) Unwrap() error { return s.cause }

// sentencef makes a sentence without a cause.
func sentencef(format string, a ...any) error {
	return &sentence{fmt.Sprintf(format, a...), nil}
}

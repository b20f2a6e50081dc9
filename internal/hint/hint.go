// Package hint lets an error carry one sentence on what a person can do about it.
package hint

import "errors"

// Hinter is an error that knows what a person can do about it.
type Hinter interface {
	error
	HintText() string // one sentence; may be empty
}

// With adds a hint to err, unless one of them is empty.
func With(err error, text string) error {
	if err == nil || text == "" {
		return err
	}
	return &hinted{err, text}
}

// Of is the outermost hint of err, or "".
func Of(err error) string {
	var h Hinter
	if errors.As(err, &h) {
		return h.HintText()
	}
	return ""
}

type hinted struct {
	error
	text string
}

func (h *hinted) Unwrap() error    { return h.error }
func (h *hinted) HintText() string { return h.text }

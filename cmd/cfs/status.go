package main

import "fmt"

// Exit statuses; doc.go has the table.
const (
	statusFailed   = 1
	statusTemplate = 64
	statusUsage    = 125
)

// exitError ends the program with a status and, when err is nil, without a word:
// what there was to say has been said.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is a command line that can't be understood.
type usageError struct {
	err     error
	command string // e.g. "cfs run"
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// HintText implements hint.Hinter.
func (e *usageError) HintText() string { return "see '" + e.command + " --help'" }

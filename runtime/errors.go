package runtime

import (
	"errors"
	"fmt"
)

// Exit statuses that say something about the tool rather than the process, as
// docker-run(1) defines them.
const (
	StatusFailed        = 125 // the container could not be set up
	StatusNotExecutable = 126 // the command was found and can't be executed
	StatusNotFound      = 127 // the command was not found
)

// What Run's errors wrap.
var (
	// ErrNotFound: the command, or the interpreter it names, doesn't exist in the container.
	ErrNotFound = errors.New("not found")
	// ErrNotExecutable: the command exists, and the container's user can't execute it.
	ErrNotExecutable = errors.New("not executable")
	// ErrUnsupported: the configuration asks for something this runtime doesn't do.
	ErrUnsupported = errors.New("not supported")
	// ErrInvalid: the configuration is no valid one.
	ErrInvalid = errors.New("invalid configuration")
	// ErrUser: a user or group that the container doesn't have.
	ErrUser = errors.New("no such user or group")
)

// ExitStatus is the status a program should exit with after err: 0 for nil,
// 126 and 127 for a command that couldn't be executed, 125 for the rest.
func ExitStatus(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrNotFound):
		return StatusNotFound
	case errors.Is(err, ErrNotExecutable):
		return StatusNotExecutable
	}
	return StatusFailed
}

// unsupported says which field of the configuration can't be honoured.
func unsupported(field string) error {
	return fmt.Errorf("config field %s is %w", field, ErrUnsupported)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

// An initError is a failure inside init, as it travels to the supervisor.
type initError struct {
	Kind    errKind
	Message string
}

type errKind int

const (
	kindSetup errKind = iota
	kindNotFound
	kindNotExecutable
	kindUnsupported
	kindInvalid
)

// sentinels of the kinds that have one.
var sentinels = [...]error{kindNotFound: ErrNotFound, kindNotExecutable: ErrNotExecutable, kindUnsupported: ErrUnsupported, kindInvalid: ErrInvalid}

func packError(err error) initError {
	for k, s := range sentinels {
		if s != nil && errors.Is(err, s) {
			return initError{errKind(k), err.Error()}
		}
	}
	return initError{kindSetup, err.Error()}
}

// Error is the message alone: it already contains the sentinel's words.
func (e initError) Error() string { return e.Message }

func (e initError) Unwrap() error {
	if e.Kind > 0 && int(e.Kind) < len(sentinels) {
		return sentinels[e.Kind]
	}
	return nil
}

package store

import (
	"errors"
	"fmt"

	"github.com/cfs-project/cfs/internal/hint"
)

// The sentinels of the package; what it returns wraps at most one of them.
var (
	// ErrNotFound: no image has that name, ID or digest.
	ErrNotFound = errors.New("no such image")
	// ErrAmbiguous: several images begin with that ID prefix.
	ErrAmbiguous = errors.New("ambiguous image ID prefix")
	// ErrInvalid: a manifest, config or index is not what the image
	// specification allows, or larger than this package reads.
	ErrInvalid = errors.New("invalid image")
	// ErrPlatform: the image has no variant for this platform.
	ErrPlatform = errors.New("no image for this platform")
	// ErrUnsupported: the image is valid, and of a kind that cfs does not run.
	ErrUnsupported = errors.New("unsupported image")
	// ErrConflict: the image is in use. Its text is Docker's.
	ErrConflict = errors.New("conflict")
)

// notFound is Docker's sentence for a missing image. It names what was asked
// for as it was asked for.
type notFound struct{ name string }

func (e *notFound) Error() string        { return "No such image: " + e.name }
func (e *notFound) Is(target error) bool { return target == ErrNotFound }

func notFoundError(name string) error { return &notFound{name} }

// conflict is one of Docker's reasons not to remove an image.
type conflict struct{ text string }

func (e *conflict) Error() string        { return "conflict: " + e.text }
func (e *conflict) Is(target error) bool { return target == ErrConflict }

func conflictf(format string, args ...any) error {
	return &conflict{fmt.Sprintf(format, args...)}
}

// damagedHint adds to an error that comes from damage of the store what can be
// done about it.
func damagedHint(err error) error {
	if !isDamage(err) && !errors.Is(err, ErrInvalid) {
		return err
	}
	return hint.With(err, "'cfs fsck --repair' mends what it can, and says what must be loaded or pulled again")
}

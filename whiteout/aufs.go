package whiteout

import (
	"errors"
	"fmt"
)

// AUFS names, as OCI layers carry them (OCI image spec, layer.md, "Whiteouts";
// the ".wh..wh." files are described in aufs(5), and moby's archive package
// skips all of them but the opaque marker).
const (
	Prefix     = ".wh."          // .wh.NAME: NAME is gone
	MetaPrefix = Prefix + ".wh." // aufs's own bookkeeping, means nothing to anyone else
	OpaqueName = MetaPrefix + ".opq"
)

// ErrInvalid is wrapped by the errors of [Parse] and [Name]: the name can't
// be a whiteout.
var ErrInvalid = errors.New("invalid whiteout name")

// Kind is what a name, or an object, means.
type Kind uint8

// The kinds of meaning.
const (
	Ordinary Kind = iota // says nothing about lower layers
	Remove               // Mark.Target is gone
	Opaque               // the directory hides what the lower layers have in it
	Meta                 // bookkeeping of another program: to be left out
)

func (k Kind) String() string {
	switch k {
	case Ordinary:
		return "ordinary"
	case Remove:
		return "remove"
	case Opaque:
		return "opaque"
	case Meta:
		return "meta"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Parse tells what name, the last element of a path in a layer, means. The
// target is the name that is removed for [Remove], and empty for the others; it
// is a part of name, not a copy.
//
// The error wraps [ErrInvalid] for the whiteouts of no name, of "." and of
// ".." — the last would remove a directory beside the one it stands in — and
// for a name that is no path element: empty, or with a slash or NUL in it.
func Parse[T ~string | ~[]byte](name T) (Kind, T, error) {
	var none T
	if !isElement(name) {
		return Ordinary, none, fmt.Errorf("%w: %q is no path element", ErrInvalid, string(name))
	}
	if !hasPrefix(name, Prefix) {
		return Ordinary, none, nil
	}
	if hasPrefix(name, MetaPrefix) {
		if len(name) == len(OpaqueName) && hasPrefix(name, OpaqueName) {
			return Opaque, none, nil
		}
		return Meta, none, nil
	}
	target := name[len(Prefix):]
	if isDots(target) {
		return Ordinary, none, fmt.Errorf("%w: %q", ErrInvalid, string(name))
	}
	return Remove, target, nil
}

// Name is the AUFS name of the whiteout of target. The error wraps
// [ErrInvalid] when there is none: target is empty, ".", "..", no single path
// element, or begins with ".wh." itself, so that its whiteout would read as
// bookkeeping.
func Name(target string) (string, error) {
	name := Prefix + target
	kind, got, err := Parse(name)
	if err != nil {
		return "", err
	}
	if kind != Remove || got != target || hasPrefix(target, Prefix) {
		return "", fmt.Errorf("%w: %q can't be removed by name", ErrInvalid, target)
	}
	return name, nil
}

func hasPrefix[T ~string | ~[]byte](name T, prefix string) bool {
	return len(name) >= len(prefix) && string(name[:len(prefix)]) == prefix
}

// isElement is false for what can't be one element of a path.
func isElement[T ~string | ~[]byte](name T) bool {
	for i := 0; i < len(name); i++ {
		if name[i] == '/' || name[i] == 0 {
			return false
		}
	}
	return len(name) > 0
}

// isDots is true for "", "." and "..".
func isDots[T ~string | ~[]byte](name T) bool {
	return len(name) == 0 || (len(name) <= 2 && name[0] == '.' && name[len(name)-1] == '.')
}

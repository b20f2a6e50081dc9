package layerpack

import "errors"

// The sentinels of the package. An error that comes from what a layer or an
// index holds, rather than from the host, wraps exactly one of them.
var (
	// ErrDigest: the bytes are not those that were asked for.
	ErrDigest = errors.New("digest mismatch")
	// ErrBomb: a layer unpacks to more than the bounds allow.
	ErrBomb = errors.New("layer expands beyond its bound")
	// ErrInvalid: a layer is truncated, malformed, of an unknown kind, or asks
	// for something that no layer may do.
	ErrInvalid = errors.New("invalid layer")
	// ErrCorrupt: a table of contents or an index was damaged after it was written.
	ErrCorrupt = errors.New("corrupt index")
	// ErrNoXattr: the file has no extended attribute of that name.
	ErrNoXattr = errors.New("no such extended attribute")
)

package buildcontext

import (
	"context"
	"errors"
	"io"

	"github.com/cfs-project/cfs/cow"
)

// Errors of Select, with Docker's words.
var (
	// ErrNotFound: "file not found in build context or excluded by .dockerignore: stat x: file does not exist".
	ErrNotFound = errors.New("file does not exist")
	// ErrOutside: "forbidden path outside the build context: ../x ()".
	ErrOutside = errors.New("forbidden path outside the build context")

	errUnfinished = errors.New("not written yet")
)

// A Source is a tree that files are taken from. Its methods, and selections of it,
// may be used by several goroutines.
type Source struct{}

// FromDir is the directory dir, whose files belong to 0:0, without what ignore
// leaves out; ignore may be nil. Name is what messages call it.
func FromDir(name, dir string, ignore *Ignore) (*Source, error) { return nil, errUnfinished }

// FromTree is a tree of layers, such as layerpack.OpenBase's of a stage's or an
// image's chain. Owners are kept. B may be used by several goroutines and stays the
// caller's; it is in use until Close. Id, when not empty, names the tree's content, such as
// its chain ID: digests of its files are remembered under it.
func FromTree(name string, b cow.Base, id string) *Source { return nil }

// FromTar is what the tar r holds, in any compression that layerpack knows. Its
// files belong to 0:0. It is kept, uncompressed, below temp until Close, and not
// extracted.
func FromTar(ctx context.Context, name string, r io.Reader, temp string, ignore *Ignore) (*Source, error) {
	return nil, errUnfinished
}

// Name is what messages call the source.
func (s *Source) Name() string { return "" }

// HostDir is the host's directory that holds just what path within the source does, so
// that a read-only mount of it shows the source, but for owners. It is false where there
// is none: path is no directory, an ignore file leaves out something, or the source is packed.
func (s *Source) HostDir(path string) (string, bool) { return "", false }

// ReadFile reads the regular file at path, following symbolic links inside the source.
// It fails with fs.ErrNotExist, wrapped, if there is none, and if it is larger than max bytes.
func (s *Source) ReadFile(path string, max int64) ([]byte, error) { return nil, errUnfinished }

// Close ends the use of the source and removes what was kept for it.
func (s *Source) Close() error { return nil }

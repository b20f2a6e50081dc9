package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// ErrInvalid: the input is no image archive, or a damaged or hostile one.
var ErrInvalid = errors.New("invalid image archive")

// MaxEntries bounds the entries of an archive. An image needs a few for every
// layer; the bound keeps the table of names small.
const MaxEntries = 200_000

// maxHops bounds the links that are followed from one name.
const maxHops = 16

// A File is one regular file of an archive.
type File struct {
	Size  int64
	Spool *store.Spool // where a large file of a stream lies; nil otherwise
	open  func() (io.ReadCloser, error)
}

// NewFile is a file of other archives than those of this package: size may be a guess, for
// progress.
func NewFile(size int64, open func() (io.ReadCloser, error)) File {
	return File{Size: size, open: open}
}

// Open reads the file from its beginning. Any number of readers may be open.
func (f File) Open() (io.ReadCloser, error) { return f.open() }

// Files is an archive as its regular files, by name: clean, relative,
// slash-separated.
type Files interface {
	// File finds a file, through links within the archive. fs.ErrNotExist,
	// wrapped, when there is none.
	File(name string) (File, error)
	// Top lists the names at the top of the archive, in no order.
	Top() ([]string, error)
	// Close ends the use of every File and removes what was spooled.
	Close() error
}

// document reads a small file whole.
func document(fsys Files, name string) ([]byte, error) {
	f, err := fsys.File(name)
	if err != nil {
		return nil, err
	}
	if f.Size > store.MaxDocument {
		return nil, fmt.Errorf("%w: %s is larger than %d MiB", ErrInvalid, name, store.MaxDocument>>20)
	}
	rc, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	raw, err := io.ReadAll(io.LimitReader(rc, store.MaxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(raw)) != f.Size {
		return nil, fmt.Errorf("%w: %s has not the %d bytes it should have", ErrInvalid, name, f.Size)
	}
	return raw, nil
}

// Blobs is the blobs of a layout, as a [store.Source].
type Blobs struct{ Files Files }

// Document implements [store.Source].
func (b Blobs) Document(_ context.Context, d ocispec.Descriptor) ([]byte, error) {
	f, err := b.Blob(d)
	if err != nil {
		return nil, err
	}
	if f.Size > store.MaxDocument {
		return nil, fmt.Errorf("blob %s: %w: larger than %d MiB", d.Digest, store.ErrInvalid, store.MaxDocument>>20)
	}
	rc, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return store.ReadDocument(rc, d)
}

// Blob finds the file of a blob.
func (b Blobs) Blob(d ocispec.Descriptor) (File, error) {
	if err := d.Digest.Validate(); err != nil {
		return File{}, fmt.Errorf("%w: digest %.100q: %w", ErrInvalid, string(d.Digest), err)
	}
	f, err := b.Files.File(BlobName(d.Digest))
	if err != nil {
		return File{}, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	return f, nil
}

// cleanName is the key of a name in an archive, or why it is refused.
func cleanName(name string) (string, error) {
	if name == "" || strings.ContainsRune(name, 0) || path.IsAbs(name) {
		return "", fmt.Errorf("%w: the name %.200q", ErrInvalid, name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("%w: the name %.200q leads out of it", ErrInvalid, name)
		}
	}
	return path.Clean(name), nil
}

// table is the names of a tar. Later entries replace earlier ones, as they do
// where a tar is extracted.
type table struct {
	files map[string]File
	links map[string]string // symlinks and hard links, to names within
}

func newTable() *table { return &table{map[string]File{}, map[string]string{}} }

func (t *table) add(name string, f File) error {
	delete(t.links, name)
	t.files[name] = f
	return t.check()
}

func (t *table) link(name, target string) error {
	delete(t.files, name)
	t.links[name] = target
	return t.check()
}

func (t *table) check() error {
	if len(t.files)+len(t.links) > MaxEntries {
		return fmt.Errorf("%w: more than %d entries", ErrInvalid, MaxEntries)
	}
	return nil
}

func (t *table) find(name string) (File, error) {
	key, err := cleanName(name)
	if err != nil {
		return File{}, err
	}
	for range maxHops {
		if f, ok := t.files[key]; ok {
			return f, nil
		}
		next, ok := t.links[key]
		if !ok {
			return File{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		key = next
	}
	return File{}, fmt.Errorf("%w: %s: too many links", ErrInvalid, name)
}

func (t *table) Top() ([]string, error) {
	seen := map[string]bool{}
	for name := range t.files {
		first, _, _ := strings.Cut(name, "/")
		seen[first] = true
	}
	for name := range t.links {
		first, _, _ := strings.Cut(name, "/")
		seen[first] = true
	}
	return slices.Collect(maps.Keys(seen)), nil
}

// symlinkTarget is the key that a symlink leads to.
func symlinkTarget(name, target string) (string, error) {
	to := path.Join(path.Dir(name), target)
	if path.IsAbs(target) || to == ".." || strings.HasPrefix(to, "../") {
		return "", fmt.Errorf("%w: the symlink %s leads out of it, to %.200q", ErrInvalid, name, target)
	}
	return to, nil
}

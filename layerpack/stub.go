package layerpack

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
)

var errSoon = errors.New("layerpack: not there yet")

// Index is a mapped EROFS image. Its methods may be called from any number of
// goroutines until Close.
type Index struct{}

func Pack(ctx context.Context, r io.Reader, dst string, o PackOptions) (Packed, error) {
	return Packed{}, errSoon
}
func Scan(ctx context.Context, tarPath, tocPath string) error              { return errSoon }
func BuildIndex(ctx context.Context, dst string, layers []cow.Layer) error { return errSoon }
func Extract(ctx context.Context, l cow.Layer, dst string, o ExtractOptions) (Extracted, error) {
	return Extracted{}, errSoon
}

func OpenIndex(path string) (*Index, error)                                { return nil, errSoon }
func (x *Index) Close() error                                              { return nil }
func (x *Index) Root() NID                                                 { return 0 }
func (x *Index) Inodes() uint64                                            { return 0 }
func (x *Index) Layers() []digest.Digest                                   { return nil }
func (x *Index) Stat(n NID, a *Attr) error                                 { return errSoon }
func (x *Index) Lookup(dir NID, name []byte) (Dirent, error)               { return Dirent{}, errSoon }
func (x *Index) ReadDir(dir NID, off uint64, fn func(*Dirent) bool) error  { return errSoon }
func (x *Index) Readlink(n NID) ([]byte, error)                            { return nil, errSoon }
func (x *Index) Xattr(n NID, name []byte) ([]byte, error)                  { return nil, errSoon }
func (x *Index) Xattrs(n NID, fn func(name, value []byte) bool) error      { return errSoon }
func (x *Index) Walk(fn func(path []byte, d *Dirent, a *Attr) error) error { return errSoon }
func (x *Index) Extents(n NID, off, length int64, buf []Extent) ([]Extent, error) {
	return buf, errSoon
}

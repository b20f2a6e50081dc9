package dockerstore

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/archive"
	"github.com/cfs-project/cfs/imagecmd/internal/piped"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/whiteout"
)

// tarSplit is the file of layerdb that has what a layer's directory lacks of its tar.
const tarSplit = "tar-split.json.gz"

// tar is how a layer's tar is read; it is made anew where there is no tar-split.
func (s *Store) tar(l layer) (open func() (io.ReadCloser, error), anew bool, err error) {
	_, err = s.root.Lstat(filepath.Join(l.meta, tarSplit))
	switch {
	case err == nil:
		return func() (io.ReadCloser, error) {
			return piped.From(func(w io.Writer) error { return s.assemble(l, w) }), nil
		}, false, nil
	case errors.Is(err, fs.ErrNotExist):
		return func() (io.ReadCloser, error) { return piped.From(func(w io.Writer) error { return s.pack(l, w) }), nil }, true, nil
	}
	return nil, false, err
}

// assemble writes a layer's tar as it was, of its tar-split and its directory.
func (s *Store) assemble(l layer, w io.Writer) error {
	f, err := s.regular(s.root, filepath.Join(l.meta, tarSplit))
	if err != nil {
		return err
	}
	defer f.Close()
	plain, _, err := archive.Decompress(f, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", tarSplit, err)
	}
	defer plain.Close()
	tree, err := s.root.OpenRoot(l.trees[len(l.trees)-1])
	if err != nil {
		return err
	}
	defer tree.Close()
	return assemble(plain, files{s, tree}, w)
}

// assemble writes the tar that a tar-split is of, with contents of files.
func assemble(split io.Reader, contents storage.FileGetter, w io.Writer) error {
	if err := asm.WriteOutputTarStream(contents, newUnpacker(split), w); err != nil {
		return fmt.Errorf("%s: %w", tarSplit, err)
	}
	return nil
}

// maxEntry bounds an entry of a tar-split in bytes: of what stands between the contents of
// two files, in base64, the largest are extended attributes.
const maxEntry = 16 << 20

// An unpacker reads a tar-split, an entry a line. That of the library bounds nothing.
type unpacker struct{ lines *bufio.Scanner }

func newUnpacker(split io.Reader) unpacker {
	u := unpacker{bufio.NewScanner(split)}
	u.lines.Buffer(nil, maxEntry)
	return u
}

// Next implements storage.Unpacker.
func (u unpacker) Next() (*storage.Entry, error) {
	if !u.lines.Scan() {
		return nil, cmp.Or(u.lines.Err(), io.EOF)
	}
	var e storage.Entry
	return &e, json.Unmarshal(u.lines.Bytes(), &e)
}

// files are those of a layer's directory, by their names in its tar.
type files struct {
	s    *Store
	tree *os.Root
}

// Get implements storage.FileGetter.
func (f files) Get(name string) (io.ReadCloser, error) {
	return f.s.regular(f.tree, filepath.Join(".", filepath.Join("/", name)))
}

// regular opens a file of root, which may be anything: the open of a FIFO, or of a device,
// must not wait.
func (s *Store) regular(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is no regular file", ErrInvalid, name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// pack writes a tar of what a layer changes.
func (s *Store) pack(l layer, w io.Writer) error {
	base, err := s.base(l)
	if err != nil {
		return err
	}
	defer base.Close()
	_, err = layerpack.WriteLayer(context.Background(), w, s.changes(l, base), layerpack.WriteOptions{DirTimes: true})
	return err
}

// changes are those of a layer.
func (s *Store) changes(l layer, base cow.Base) iter.Seq2[cow.Entry, error] {
	dir := s.path(l.trees[len(l.trees)-1])
	if s.kind.dialect == whiteout.Plain {
		return cow.Compare(base, dir)
	}
	return cow.Upper{Dir: dir, Dialect: s.kind.dialect, Base: base}.Diff()
}

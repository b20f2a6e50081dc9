package buildcontext

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
)

// Errors of Select, with Docker's words.
var (
	// ErrNotFound: "file not found in build context or excluded by .dockerignore: stat x: file does not exist".
	ErrNotFound = fs.ErrNotExist
	// ErrOutside: "forbidden path outside the build context: ../x ()".
	ErrOutside = errors.New("forbidden path outside the build context")
)

// A Source is a tree that files are taken from. Its methods, and selections of it,
// may be used by several goroutines.
type Source struct {
	name   string
	what   string // what a path is not found in
	tree   tree
	kept   bool            // owners are the tree's own; else all belongs to 0:0
	mend   func(o *object) // makes attributes those that are copied; may be nil
	id     string          // what digests are remembered under; "" is nothing
	host   string          // directory of the host that tree is; "" if it is none
	closes []func() error
}

// contextWords is what Docker says of a path that a context doesn't have.
const contextWords = "file not found in build context or excluded by .dockerignore"

// FromDir is the directory dir, whose files belong to 0:0, without what ignore
// leaves out; ignore may be nil. Name is what messages call it.
func FromDir(name, dir string, ignore *Ignore) (*Source, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	t, err := openDirTree(dir)
	if err != nil {
		return nil, err
	}
	root, _, err := t.stat("/")
	if err != nil {
		t.close()
		return nil, err
	}
	s := &Source{name: name, what: contextWords, tree: t, host: dir, id: fmt.Sprintf("dir:%x:%x", root.id.dev, root.id.ino)}
	return s.ignoring(ignore), nil
}

// ignoring leaves out what ignore does, of a source that nobody uses yet.
func (s *Source) ignoring(ignore *Ignore) *Source {
	if ignore != nil {
		s.tree, s.host = ignoring{s.tree, ignore}, ""
	}
	return s
}

// FromTree is a tree of layers, such as layerpack.OpenBase's of a stage's or an
// image's chain. Owners are kept. B may be used by several goroutines and stays the
// caller's; it is in use until Close. Id, when not empty, names the tree's content, such as
// its chain ID: digests of its files are remembered under it.
func FromTree(name string, b cow.Base, id string) *Source {
	s := &Source{name: name, what: "file not found in " + name, tree: baseTree{b}, kept: true}
	if id != "" {
		s.id = "tree:" + id
	}
	return s
}

// FromTar is what the tar r holds, in any compression that layerpack knows. Its
// files belong to 0:0. It is kept, uncompressed, below temp until Close, and not
// extracted; "" is os.TempDir(). MaxExpansion bounds decompression, as in layerpack.PackOptions.
func FromTar(ctx context.Context, name string, r io.Reader, temp string, maxExpansion int64, ignore *Ignore) (*Source, error) {
	p, err := packTar(ctx, r, temp, maxExpansion)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s := &Source{name: name, what: contextWords, tree: baseTree{p.base}, closes: []func() error{p.close}}
	return s.ignoring(ignore), nil
}

// fromFile is a source of one file that belongs to 0:0.
func fromFile(name string, file object, data func() (cow.Data, error)) *Source {
	return &Source{name: name, what: contextWords, tree: fileTree{file, data}}
}

// packed is a tar that was packed for a source.
type packed struct {
	dir  string
	base *layerpack.Base
}

// packTar keeps the tar r below temp, packed and indexed.
func packTar(ctx context.Context, r io.Reader, temp string, maxExpansion int64) (*packed, error) {
	dir, err := os.MkdirTemp(temp, "tar-")
	if err != nil {
		return nil, err
	}
	p := &packed{dir: dir}
	done := false
	defer func() {
		if !done {
			p.close()
		}
	}()
	l := cow.Layer{Dir: filepath.Join(dir, "layer")}
	if err := os.Mkdir(l.Dir, 0o700); err != nil {
		return nil, err
	}
	made, err := layerpack.Pack(ctx, r, l.Dir, layerpack.PackOptions{MaxExpansion: maxExpansion})
	if err != nil {
		return nil, err
	}
	l.DiffID = made.DiffID
	chain := cow.Chain{ID: l.DiffID, Layers: []cow.Layer{l}, Index: filepath.Join(dir, "index")}
	if err := layerpack.BuildIndex(ctx, chain.Index, chain.Layers); err != nil {
		return nil, err
	}
	if p.base, err = layerpack.OpenBase(chain, nil); err != nil {
		return nil, err
	}
	done = true
	return p, nil
}

// tar is the path of the tar, uncompressed.
func (p *packed) tar() string { return cow.Layer{Dir: filepath.Join(p.dir, "layer")}.Tar() }

func (p *packed) close() error {
	var err error
	if p.base != nil {
		err = p.base.Close()
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}

// Name is what messages call the source.
func (s *Source) Name() string { return s.name }

// HostDir is the host's directory that holds just what path within the source does, so
// that a read-only mount of it shows the source, but for owners. It is false where there
// is none: path is no directory, an ignore file leaves out something, or the source is packed.
// Symbolic links are resolved when it is called, and not held.
func (s *Source) HostDir(p string) (string, bool) {
	if s.host == "" {
		return "", false
	}
	o, at, err := find(s.tree, path.Join("/", p))
	if err != nil || !o.isDir() {
		return "", false
	}
	return filepath.Join(s.host, filepath.FromSlash(at)), true
}

// ReadFile reads the regular file at path, following symbolic links inside the source.
// It fails with fs.ErrNotExist, wrapped, if there is none, and if it is larger than max bytes.
func (s *Source) ReadFile(p string, max int64) ([]byte, error) { return readFile(s.tree, p, max) }

func readFile(t tree, p string, max int64) ([]byte, error) {
	o, at, err := find(t, path.Join("/", p))
	if err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(p, "/")
	switch {
	case !o.isFile():
		return nil, fmt.Errorf("read %s: not a regular file", name)
	case o.attr.Size > max:
		return nil, fmt.Errorf("read %s: larger than %d bytes", name, max)
	}
	d, err := t.open(at)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var b bytes.Buffer
	n, err := io.Copy(&b, io.NewSectionReader(d, 0, max+1))
	if err == nil && n > max {
		err = fmt.Errorf("larger than %d bytes", max)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// Close ends the use of the source and removes what was kept for it.
func (s *Source) Close() error {
	err := s.tree.close()
	for _, c := range s.closes {
		err = errors.Join(err, c())
	}
	s.closes = nil
	return err
}

// owned is o as it is copied.
func (s *Source) owned(o object) object {
	if !s.kept {
		o.attr.UID, o.attr.GID = 0, 0
	}
	if s.mend != nil {
		s.mend(&o)
	}
	return o
}

package buildcontext

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// Select finds what the instruction takes. It fails with [ErrNotFound] where a path
// without wildcards is not there, [ErrOutside] where it leads out of the source,
// and with what is wrong with the instruction's options. Wildcards that match
// nothing select nothing.
//
// It fetches what ADD names, unless a checksum tells what that is. Contents of files are
// not read.
func (c Copy) Select(ctx context.Context, o SelectOptions) (*Selection, error) {
	s := &Selection{c: c, o: o}
	if err := s.choose(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Selection) choose(ctx context.Context) (err error) {
	if s.chmod, err = parseChmod(s.c.Chmod); err != nil {
		return err
	}
	if err := s.c.checkChecksum(); err != nil {
		return err
	}
	exclude, err := newPatterns(s.c.Exclude)
	if err != nil {
		return fmt.Errorf("--exclude: %w", err)
	}
	for _, p := range s.c.Paths {
		remote, err := s.remote(ctx, p)
		if err == nil && !remote {
			err = s.local(ctx, p, exclude)
		}
		if err != nil {
			return err
		}
	}
	for _, in := range s.c.Inline {
		s.inline(in)
	}
	return nil
}

// inline selects a here-document.
func (s *Selection) inline(in Inline) {
	s.items = append(s.items, &item{name: in.Name, root: memoryFile(in.Name, in.Data, 0o644, s.now())})
}

// local selects what a path means in the source.
func (s *Selection) local(ctx context.Context, p string, exclude *patterns) error {
	src := s.c.From
	if src == nil {
		return fmt.Errorf("%s %s: there is nothing to copy from", s.c.verb(), p)
	}
	if s.c.Parents {
		return s.parents(ctx, p, exclude)
	}
	found, err := match(src.tree, p)
	if err != nil {
		return src.failed(p, err)
	}
	for _, at := range found {
		o, real, err := find(src.tree, at)
		if err != nil {
			return src.failed(p, err)
		}
		if !o.isDir() && exclude != nil {
			if out, err := exclude.match(path.Base(at)); out || err != nil {
				if err != nil {
					return err
				}
				continue
			}
		}
		n, err := s.walk(ctx, src, nil, exclude).node(o, real, "")
		if err != nil {
			return src.failed(p, err)
		}
		if n == nil {
			continue
		}
		unpack := s.c.Add
		if s.c.Unpack != nil {
			unpack = *s.c.Unpack
		}
		s.items = append(s.items, &item{name: path.Base(at), root: n, unpack: unpack && o.isFile()})
	}
	return nil
}

// parents selects what --parents of a path means: everything that matches, below the root of the
// source or the directory before "/./".
func (s *Selection) parents(ctx context.Context, p string, exclude *patterns) error {
	src := s.c.From
	root, pattern, pivot := strings.Cut(p, "/./")
	if !pivot {
		root, pattern = "/", p
	}
	pattern = strings.TrimPrefix(path.Clean("/"+pattern), "/")
	if pattern == "" {
		pattern = "**"
	}
	include, err := newPatterns([]string{escapeException(pattern)})
	if err != nil {
		return err
	}
	roots, err := match(src.tree, root)
	if err != nil {
		return src.failed(p, err)
	}
	if !hasWildcards(root) && !hasWildcards(pattern) {
		if _, _, err := find(src.tree, path.Join("/", root, pattern)); err != nil {
			return src.failed(p, err)
		}
	}
	for _, at := range roots {
		o, real, err := find(src.tree, at)
		if err != nil {
			return src.failed(p, err)
		}
		if !o.isDir() {
			continue
		}
		n, err := s.walk(ctx, src, include, exclude).node(o, real, "")
		if err != nil {
			return src.failed(p, err)
		}
		s.items = append(s.items, &item{name: path.Base(at), root: n})
	}
	return nil
}

// escapeException keeps a name that begins with "!" from being an exception.
func escapeException(pattern string) string {
	if strings.HasPrefix(pattern, "!") {
		return `\` + pattern
	}
	return pattern
}

// failed says of a path of the instruction that it can't be taken.
func (s *Source) failed(p string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", s.what, &fs.PathError{Op: "stat", Path: strings.TrimPrefix(p, "/"), Err: ErrNotFound})
	}
	return err
}

// memoryFile is a node of a file whose content is at hand.
func memoryFile(name string, data []byte, mode uint32, at interface {
	Unix() int64
	Nanosecond() int
}) *node {
	o := object{name: name, attr: cow.Attr{
		Mode: unix.S_IFREG | mode, Size: int64(len(data)), Mtime: at.Unix(), MtimeNsec: uint32(at.Nanosecond()),
	}}
	src := fromFile(name, o, func() (cow.Data, error) { return memory{bytes.NewReader(data)}, nil })
	return &node{object: o, src: src, path: "/" + name}
}

// memory is bytes at hand as [cow.Data].
type memory struct{ *bytes.Reader }

func (m memory) Close() error { return nil }

func (m memory) Extents() ([]cow.Extent, error) {
	if m.Size() == 0 {
		return nil, nil
	}
	return []cow.Extent{{Off: 0, Len: m.Size()}}, nil
}

package buildcontext

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// A tree is how a source is read. Paths are absolute within it, clean, and go
// through no symbolic link: an element that is no directory has nothing below it.
// Several goroutines use it.
type tree interface {
	// stat tells what is at path, and false if there is nothing.
	stat(path string) (object, bool, error)
	// list are the objects in the directory at path, by name in byte order.
	list(path string) ([]object, error)
	readlink(path string) (string, error)
	// xattrs are those that a layer carries.
	xattrs(path string) (map[string]string, error)
	// open opens the regular file at path; what it returns stays good after close.
	open(path string) (cow.Data, error)
	close() error
}

// An object is one name of a tree.
type object struct {
	name string
	attr cow.Attr
	// link is the same for all names of one hard-linked file, and zero for an object
	// with one name.
	link fileKey
	// id says which version of a file it is; zero where that is not known.
	id fileID
}

// A fileKey names an inode, of a tree.
type fileKey struct{ dev, ino uint64 }

// A fileID changes whenever the file's content, or attributes, do, together with its
// size and mtime.
type fileID struct {
	fileKey
	ctime int64 // nanoseconds since 1970; 0 in trees that never change
}

func (o *object) isDir() bool  { return o.attr.IsDir() }
func (o *object) isFile() bool { return o.attr.Mode&unix.S_IFMT == unix.S_IFREG }
func (o *object) isLink() bool { return o.attr.Mode&unix.S_IFMT == unix.S_IFLNK }

// same tells whether o is still what was.
func (o *object) same(was *object) bool {
	return o.id == was.id && o.attr.Mode == was.attr.Mode && o.attr.Size == was.attr.Size &&
		o.attr.Mtime == was.attr.Mtime && o.attr.MtimeNsec == was.attr.MtimeNsec
}

// maxLinks bounds the symbolic links on the way to a path, as the kernel does
// (path_resolution(7)).
const maxLinks = 40

// errLoop is what too many symbolic links give.
const errLoop = unix.ELOOP

// A linker tells of the two things that resolving a path needs: whether there is a
// symbolic link at path, which goes through none, and where it leads.
type linker func(path string) (target string, isLink bool, err error)

// resolve is where p leads inside a tree, symbolic links followed, the last one too.
// What is not there is taken as it is written, and ".." stops at the root.
func resolve(p string, follow linker) (string, error) {
	at, rest := "/", p
	for links := 0; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		switch name {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		target, isLink, err := follow(next)
		if err != nil {
			return "", err
		}
		if !isLink {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: %w", p, errLoop)
		}
		if path.IsAbs(target) {
			at = "/"
		}
		rest = target + "/" + rest
	}
	return at, nil
}

// links are those of t.
func links(t tree) linker {
	return func(p string) (string, bool, error) {
		o, ok, err := t.stat(p)
		if err != nil || !ok || !o.isLink() {
			return "", false, err
		}
		target, err := t.readlink(p)
		return target, true, err
	}
}

// find is what p leads to in t, and where that is. It fails with fs.ErrNotExist, wrapped, where
// there is nothing.
func find(t tree, p string) (object, string, error) {
	at, err := resolve(p, links(t))
	if err != nil {
		return object{}, "", err
	}
	o, ok, err := t.stat(at)
	if err == nil && !ok {
		err = fmt.Errorf("stat %s: %w", strings.TrimPrefix(p, "/"), fs.ErrNotExist)
	}
	return o, at, err
}

// isGone tells whether err says that something is not there, or not a directory that
// could hold it.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

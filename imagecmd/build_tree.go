package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
)

// A treeCopy writes the files of a chain into a directory, which may hold others. All
// is the user's own; devices and pipes are left out.
type treeCopy struct {
	ctx   context.Context
	from  cow.Base
	to    *os.Root          // nothing is written outside, whatever links are in the directory
	links map[uint64]string // first names of files with several, by their inode
}

func copyTree(ctx context.Context, chain cow.Chain, dir string) error {
	base, err := layerpack.OpenBase(chain, nil)
	if err != nil {
		return err
	}
	defer base.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	c := treeCopy{ctx: ctx, from: base, to: root, links: map[uint64]string{}}
	return c.dir("/")
}

func (c *treeCopy) dir(at string) error {
	names, err := c.from.ReadDir(at)
	if err != nil {
		return err
	}
	for _, name := range names {
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}
		p := path.Join(at, name)
		a, ok, err := c.from.Lookup(p)
		if err == nil && ok {
			err = c.object(p, a)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

func (c *treeCopy) object(p string, a cow.Attr) error {
	name := strings.TrimPrefix(p, "/")
	when := time.Unix(a.Mtime, int64(a.MtimeNsec))
	mode := fs.FileMode(a.Mode&0o777) | sticky(a.Mode)
	switch a.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err := c.makeDir(name)
		if err == nil {
			err = c.dir(p)
		}
		if err == nil {
			err = c.to.Chmod(name, mode)
		}
		if err != nil {
			return err
		}
	case unix.S_IFLNK:
		target, err := c.from.Readlink(p)
		if err != nil {
			return err
		}
		return c.replace(name, func(tmp string) error { return c.to.Symlink(target, tmp) })
	case unix.S_IFREG:
		if linked, err := c.linked(p, name); linked || err != nil {
			return err
		}
		if err := c.replace(name, func(tmp string) error { return c.file(p, tmp, a, mode) }); err != nil {
			return err
		}
	default:
		return nil
	}
	return c.to.Chtimes(name, when, when)
}

// makeDir makes a directory, or makes one that is there the owner's to write to: that of an earlier copy may not be.
func (c *treeCopy) makeDir(name string) error {
	err := c.to.Mkdir(name, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	fi, err := c.to.Lstat(name)
	switch {
	case err != nil:
		return err
	case !fi.IsDir():
		return errors.New("there is a file in the place of a directory")
	case fi.Mode()&0o700 != 0o700:
		return c.to.Chmod(name, fi.Mode().Perm()|0o700)
	}
	return nil
}

// linked makes one more name of a file that is there already.
func (c *treeCopy) linked(p, name string) (bool, error) {
	ino, err := c.from.Inode(p)
	if ino == 0 || err != nil {
		return false, err
	}
	first, ok := c.links[ino]
	if !ok {
		c.links[ino] = name
		return false, nil
	}
	return true, c.replace(name, func(tmp string) error { return c.to.Link(first, tmp) })
}

// replace has something made beside and put in the place of what has the name.
func (c *treeCopy) replace(name string, make func(tmp string) error) error {
	tmp := path.Join(path.Dir(name), ".cfs-new")
	for n := 1; ; n++ { // not a name that the image has, too
		_, taken, err := c.from.Lookup("/" + tmp)
		if err != nil {
			return err
		}
		if !taken {
			break
		}
		tmp = path.Join(path.Dir(name), fmt.Sprintf(".cfs-new-%d", n))
	}
	if err := c.to.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := make(tmp); err != nil {
		return err
	}
	return c.to.Rename(tmp, name)
}

// file writes the content of a file.
func (c *treeCopy) file(p, tmp string, a cow.Attr, mode fs.FileMode) error {
	data, err := c.from.Open(p)
	if err != nil {
		return err
	}
	defer data.Close()
	f, err := c.to.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(data, 0, a.Size))
	if err == nil {
		err = f.Chmod(mode)
	}
	return errors.Join(err, f.Close())
}

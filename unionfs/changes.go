package unionfs

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/whiteout"
)

// Changes implements [cow.Driver].
func (d *Driver) Changes(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Change, error] {
	return func(yield func(cow.Change, error) bool) {
		index, err := layerpack.OpenIndex(s.Base.Index)
		if err != nil {
			yield(cow.Change{}, err)
			return
		}
		defer index.Close()
		dialect, err := upperDialect()
		if err != nil {
			yield(cow.Change{}, err)
			return
		}
		u := cow.Upper{Dir: filepath.Join(s.Dir, upperSub), Dialect: dialect, Base: indexBase{index, dialect.Namespace()}, Attr: overrideAttr}
		for c, err := range u.Changes() {
			if err == nil {
				err = ctx.Err()
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

// upperDialect is how this process writes an upper directory, see openUpper.
func upperDialect() (whiteout.Dialect, error) {
	p, err := privileges()
	if p.caps && p.initUserns {
		return whiteout.Trusted, err
	}
	return whiteout.User, err
}

// overrideAttr puts an object's override_stat over what stat told.
func overrideAttr(a *cow.Attr, xattr func(name string) (string, bool)) {
	v, ok := xattr(overrideXattr)
	if !ok {
		return
	}
	o, err := parseOverride(v)
	if err != nil {
		return
	}
	a.UID, a.GID = o.uid, o.gid
	typ := a.Mode & unix.S_IFMT
	if o.typ != 0 && typ == unix.S_IFREG && o.typ != unix.S_IFDIR {
		typ, a.Rdev = o.typ, uint64(o.rdev)
	}
	a.Mode = typ | o.perm
}

// indexBase is a chain as [cow.Base].
type indexBase struct {
	x  *layerpack.Index
	ns whiteout.Namespace
}

func (b indexBase) find(path string) (layerpack.NID, layerpack.Attr, bool, error) {
	nid := b.x.Root()
	var a layerpack.Attr
	if err := b.x.Stat(nid, &a); err != nil {
		return 0, a, false, err
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" {
			continue
		}
		if a.Mode&unix.S_IFMT != unix.S_IFDIR {
			return 0, a, false, nil
		}
		e, err := b.x.Lookup(nid, []byte(part))
		if errors.Is(err, fs.ErrNotExist) {
			return 0, a, false, nil
		}
		if err == nil {
			nid = e.NID
			err = b.x.Stat(nid, &a)
		}
		if err != nil {
			return 0, a, false, err
		}
	}
	return nid, a, true, nil
}

// Lookup implements [cow.Base].
func (b indexBase) Lookup(path string) (cow.Attr, bool, error) {
	_, a, ok, err := b.find(path)
	return cow.Attr{
		Mode: a.Mode, UID: a.UID, GID: a.GID, Rdev: a.Rdev, Size: a.Size, Mtime: a.Mtime, MtimeNsec: a.MtimeNsec,
	}, ok, err
}

// ReadDir implements [cow.Base].
func (b indexBase) ReadDir(path string) ([]string, error) {
	nid, _, ok, err := b.find(path)
	if err != nil || !ok {
		return nil, err
	}
	var names []string
	err = b.x.ReadDir(nid, 0, func(e *layerpack.Dirent) bool {
		if n := string(e.Name); n != "." && n != ".." {
			names = append(names, n)
		}
		return true
	})
	return names, err
}

// Xattrs implements [cow.Base].
func (b indexBase) Xattrs(path string) (map[string]string, error) {
	nid, _, ok, err := b.find(path)
	if err != nil || !ok {
		return nil, err
	}
	m := make(map[string]string)
	err = b.x.Xattrs(nid, func(name, value []byte) bool {
		if n := string(name); !hiddenXattr(b.ns.Stored(n)) {
			m[n] = string(value)
		}
		return true
	})
	return m, err
}

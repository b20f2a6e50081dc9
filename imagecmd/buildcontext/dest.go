package buildcontext

import (
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// dest is the tree that a layer makes of the lower one, of which it holds what was
// looked at.
type dest struct {
	lower cow.Base // nil: an empty tree
	root  *place
	owner *owner // --chown's; nil: none
	chmod chmod
	time  time.Time // of directories that are made
}

// A place is one name of it.
type place struct {
	kids   map[string]*place // of a directory, those that are known; a nil one is known not to be there
	attr   cow.Attr
	there  bool     // the lower tree has something of that name
	before cow.Attr // what, if it is there
	shines bool     // it is a directory of the lower tree, whose other names are seen through it
	write  bool     // it is of the layer
	gone   bool     // nothing is there any more
	// from has the content, target and extended attributes; nil: they are the lower
	// tree's, if it shines, or there are none.
	from *node
}

func newDest(lower cow.Base, now time.Time) (*dest, error) {
	d := &dest{lower: lower, time: now, root: &place{attr: cow.Attr{Mode: unix.S_IFDIR | 0o755}}}
	if lower == nil {
		return d, nil
	}
	a, ok, err := lower.Lookup("/")
	if err != nil {
		return nil, err
	}
	if ok {
		d.root.attr, d.root.before, d.root.there, d.root.shines = a, a, true, true
	}
	return d, nil
}

// kid is what the directory p at dir has of that name; nil if there is nothing.
func (d *dest) kid(p *place, dir, name string) (*place, error) {
	if k, ok := p.kids[name]; ok {
		if k != nil && k.gone {
			return nil, nil
		}
		return k, nil
	}
	if !p.shines {
		return nil, nil
	}
	a, ok, err := d.lower.Lookup(path.Join(dir, name))
	if err != nil {
		return nil, err
	}
	var k *place
	if ok {
		k = &place{attr: a, before: a, there: true, shines: a.IsDir()}
	}
	p.set(name, k)
	return k, nil
}

func (p *place) set(name string, k *place) {
	if p.kids == nil {
		p.kids = map[string]*place{}
	}
	p.kids[name] = k
}

// at is what is at the clean path p, which goes through no symbolic link; nil if
// there is nothing.
func (d *dest) at(p string) (*place, error) {
	here, dir := d.root, "/"
	for name := range strings.SplitSeq(p, "/") {
		if name == "" {
			continue
		}
		if !here.attr.IsDir() {
			return nil, nil
		}
		k, err := d.kid(here, dir, name)
		if err != nil || k == nil {
			return nil, err
		}
		here, dir = k, path.Join(dir, name)
	}
	return here, nil
}

// resolve is where p leads, symbolic links followed, the last one too.
func (d *dest) resolve(p string) (string, error) {
	return resolve(p, func(p string) (string, bool, error) {
		k, err := d.at(p)
		if err != nil || k == nil || k.attr.Mode&unix.S_IFMT != unix.S_IFLNK {
			return "", false, err
		}
		var target string
		if k.from != nil {
			target, err = k.from.src.tree.readlink(k.from.path)
		} else {
			target, err = d.lower.Readlink(p)
		}
		return target, true, err
	})
}

// mkdirAll is the directory at the resolved path p; what is missing of it is made.
func (d *dest) mkdirAll(p string) (*place, error) {
	here, dir := d.root, "/"
	for name := range strings.SplitSeq(p, "/") {
		if name == "" {
			continue
		}
		k, err := d.kid(here, dir, name)
		if err != nil {
			return nil, err
		}
		dir = path.Join(dir, name)
		switch {
		case k == nil:
			k = d.put(here, name, cow.Attr{Mode: d.chmod.parents(), Mtime: d.time.Unix(), MtimeNsec: uint32(d.time.Nanosecond())})
			if d.owner != nil {
				k.attr.UID, k.attr.GID = d.owner.uid, d.owner.gid
			}
		case !k.attr.IsDir():
			return nil, fmt.Errorf("mkdir %s: not a directory", dir)
		}
		here = k
	}
	return here, nil
}

// put makes a new object in the directory p, in place of what is there.
func (d *dest) put(p *place, name string, a cow.Attr) *place {
	k := &place{attr: a, write: true}
	if was := p.kids[name]; was != nil {
		k.there, k.before = was.there, was.before
	}
	p.set(name, k)
	return k
}

// empty has the layer say of a new directory at that path, where the lower tree has one, that
// nothing of that is in it.
func (d *dest) empty(k *place, at string) error {
	if !k.there || !k.before.IsDir() || k.shines {
		return nil
	}
	names, err := d.lower.ReadDir(at)
	for _, name := range names {
		k.set(name, &place{there: true, gone: true, write: true})
	}
	return err
}

// copied are the attributes that n has as a copy.
func (d *dest) copied(n *node) cow.Attr {
	a := n.attr
	a.Mode = d.chmod.apply(a.Mode)
	if d.owner != nil {
		a.UID, a.GID = d.owner.uid, d.owner.gid
	}
	return a
}

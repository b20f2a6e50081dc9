package buildcontext

import (
	"context"
	"fmt"
	"path"
)

// apply makes d the tree with the selection in it.
func (s *Selection) apply(ctx context.Context, d *dest) error {
	to, dir := s.c.dest()
	for _, i := range s.items {
		n, err := s.get(ctx, i)
		if err != nil {
			return err
		}
		if i.unpack {
			a, err := s.archive(ctx, n)
			if err != nil {
				return err
			}
			if a != nil {
				if err := d.unpack(to, a); err != nil {
					return err
				}
				continue
			}
		}
		if err := s.copyTo(d, to, dir, i.name, n); err != nil {
			return err
		}
	}
	return nil
}

// copyTo copies one item. (fsutil/copy.Copy)
func (s *Selection) copyTo(d *dest, to string, dir bool, name string, n *node) error {
	parent := to
	if !dir {
		parent = path.Dir(to)
	}
	parent, err := d.resolve(parent)
	if err == nil {
		_, err = d.mkdirAll(parent)
	}
	if err != nil {
		return err
	}
	at, err := d.resolve(to)
	if err != nil {
		return err
	}
	there, err := d.at(at)
	if err != nil {
		return err
	}
	switch {
	case n.isDir() && there == nil:
		if _, err = d.mkdirAll(at); err != nil {
			return err
		}
	case n.isDir() && !there.attr.IsDir():
		return fmt.Errorf("cannot copy to non-directory: %s", at)
	case !n.isDir() && there != nil && there.attr.IsDir():
		at = path.Join(at, name)
	case !n.isDir() && len(s.c.Paths)+len(s.c.Inline) > 1:
		return severalError(s.c.verb())
	}
	if n.isDir() {
		p, err := d.at(at)
		if err != nil {
			return err
		}
		if !p.there {
			p.attr.Mtime, p.attr.MtimeNsec = n.attr.Mtime, n.attr.MtimeNsec
		}
		return d.kids(p, at, n)
	}
	// A link may have led to where no directory is yet.
	p, err := d.mkdirAll(path.Dir(at))
	if err != nil {
		return err
	}
	return d.copy(p, at, n)
}

// A severalError is that several sources are to get one name, of an instruction. What the wildcards of
// one match may: the last is what stays.
type severalError string

func (verb severalError) Error() string {
	return "When using " + string(verb) + " with more than one source file, the destination must be a directory and end with a /"
}

// kids copies what the directory n holds into the directory p at that path.
func (d *dest) kids(p *place, at string, n *node) error {
	for _, k := range n.kids {
		if err := d.copy(p, path.Join(at, k.name), k); err != nil {
			return err
		}
	}
	return nil
}

// copy makes n what is at that path, which is in the directory p, in place of what is no directory
// as well. (moby/go-archive.Unpack, as Docker's classic builder has it)
func (d *dest) copy(p *place, at string, n *node) error {
	if !n.isDir() {
		return d.file(p, at, n)
	}
	var k *place
	var err error
	if n.pass {
		k, err = d.passed(p, at, n)
	} else {
		k, err = d.replaced(p, at, n)
	}
	if err != nil {
		return err
	}
	return d.kids(k, at, n)
}

// file makes n, which is no directory, what is at that path, in the place of anything.
func (d *dest) file(p *place, at string, n *node) error {
	name := path.Base(at)
	if _, err := d.kid(p, path.Dir(at), name); err != nil {
		return err
	}
	d.put(p, name, d.copied(n)).from = n
	return nil
}

// passed is the directory at that path, which is made if it is missing: n is only needed for what it
// holds, and takes nothing's place. What is there stays what it is but for its mode.
func (d *dest) passed(p *place, at string, n *node) (*place, error) {
	k, err := d.kid(p, path.Dir(at), path.Base(at))
	switch {
	case err != nil:
		return nil, err
	case k == nil:
		return d.replaced(p, at, n)
	case !k.attr.IsDir():
		return nil, fmt.Errorf("cannot copy to non-directory: %s", at)
	}
	k.attr.Mode, k.write = n.attr.Mode, true
	return k, nil
}

// replaced is the directory at that path with the attributes of n: the one that is there, or a
// new one in the place of anything else.
func (d *dest) replaced(p *place, at string, n *node) (*place, error) {
	k, err := d.kid(p, path.Dir(at), path.Base(at))
	if err != nil {
		return nil, err
	}
	if k == nil || !k.attr.IsDir() {
		k = d.put(p, path.Base(at), d.copied(n))
		if err := d.empty(k, at); err != nil {
			return nil, err
		}
	}
	k.attr, k.from, k.write = d.copied(n), n, true
	return k, nil
}

// unpack makes what the archive a holds part of the directory at to, as tar does. (moby/go-archive.Unpack)
func (d *dest) unpack(to string, a *unpacked) error {
	at, err := d.resolve(to)
	if err != nil {
		return err
	}
	p, err := d.mkdirAll(at)
	if err != nil {
		return err
	}
	return d.unpackKids(p, at, "", a, a.root)
}

func (d *dest) unpackKids(p *place, at, rel string, a *unpacked, n *node) error {
	for _, k := range n.kids {
		if err := d.unpackNode(p, path.Join(at, k.name), path.Join(rel, k.name), a, k); err != nil {
			return err
		}
	}
	return nil
}

func (d *dest) unpackNode(p *place, at, rel string, a *unpacked, n *node) error {
	if !n.isDir() {
		return d.file(p, at, n)
	}
	k, err := d.kid(p, path.Dir(at), path.Base(at))
	if err != nil {
		return err
	}
	if !a.named[rel] && k != nil {
		// The archive only needs it: what leads to a directory will do.
		at, err := d.resolve(at)
		if err != nil {
			return err
		}
		if k, err = d.mkdirAll(at); err != nil {
			return err
		}
		return d.unpackKids(k, at, rel, a, n)
	}
	if k, err = d.replaced(p, at, n); err != nil {
		return err
	}
	return d.unpackKids(k, at, rel, a, n)
}

// linkNumbers gives a number to each hard-linked file.
type linkNumbers map[linkOf]uint64

func (l linkNumbers) of(n *node) uint64 {
	if n.link == (fileKey{}) {
		return 0
	}
	k := linkOf{n.src, n.link}
	v, ok := l[k]
	if !ok {
		v = uint64(len(l) + 1)
		l[k] = v
	}
	return v
}

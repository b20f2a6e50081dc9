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
	case !n.isDir() && len(s.items) > 1:
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

// A severalError is that several files are to get one name, of an instruction.
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

// copy makes n what is at that path, which is in the directory p. (fsutil/copy.copier.copy)
func (d *dest) copy(p *place, at string, n *node) error {
	name := path.Base(at)
	k, err := d.kid(p, path.Dir(at), name)
	if err != nil {
		return err
	}
	switch {
	case !n.isDir():
		if k != nil && k.attr.IsDir() {
			return fmt.Errorf("cannot replace to directory %s with file", at)
		}
		d.put(p, name, d.copied(n)).from = n
		return nil
	case k == nil:
		k = d.put(p, name, d.copied(n))
		k.from = n
	case !k.attr.IsDir():
		return fmt.Errorf("cannot copy to non-directory: %s", at)
	case n.pass:
		// It stays what it is but for its mode.
		k.attr.Mode, k.write = n.attr.Mode, true
	default:
		k.attr, k.from, k.write = d.copied(n), n, true
	}
	return d.kids(k, at, n)
}

// unpack makes what the archive a holds part of the directory at to, as tar does: unlike a
// copy it replaces whatever is in the way. (moby/go-archive.Unpack)
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
	name := path.Base(at)
	k, err := d.kid(p, path.Dir(at), name)
	if err != nil {
		return err
	}
	if !n.isDir() {
		d.put(p, name, d.copied(n)).from = n
		return nil
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
	if k == nil || !k.attr.IsDir() {
		k = d.put(p, name, d.copied(n))
		if err := d.empty(k, at); err != nil {
			return err
		}
	} else {
		k.attr, k.write = d.copied(n), true
	}
	k.from = n
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

package buildcontext

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// Entries are the layer of the instruction over lower, in the order that
// layerpack.WriteLayer takes them. Lower may be nil, which is an empty tree; with
// --link it is not looked at. It is for one goroutine while Entries go on.
//
// Errors are [*Impossible].
func (s *Selection) Entries(ctx context.Context, lower cow.Base) iter.Seq2[cow.Entry, error] {
	return func(yield func(cow.Entry, error) bool) {
		err := s.entries(ctx, lower, func(e cow.Entry) bool { return yield(e, nil) })
		if err != nil && !errors.Is(err, errStop) {
			yield(cow.Entry{}, &Impossible{err})
		}
	}
}

// An Impossible is why a layer can't be made over the lower tree, in BuildKit's words where it has some:
// a directory onto a file, a user that the tree doesn't know, a source that changed meanwhile. Who
// writes a layer of the entries may wrap it with what says nothing more.
type Impossible struct{ err error }

func (i *Impossible) Error() string { return i.err.Error() }

// Unwrap is the reason.
func (i *Impossible) Unwrap() error { return i.err }

// errStop says that the consumer wants no more.
var errStop = errors.New("stopped")

func (s *Selection) entries(ctx context.Context, lower cow.Base, yield func(cow.Entry) bool) error {
	d, err := s.place(ctx, lower)
	if err != nil {
		return err
	}
	e := emitting{ctx: ctx, d: d, links: linkNumbers{}, yield: yield}
	d.root.mark()
	return e.kids(d.root, "/")
}

// place is the lower tree with the selection in it.
func (s *Selection) place(ctx context.Context, lower cow.Base) (*dest, error) {
	if s.c.Link {
		lower = nil
	}
	d, err := newDest(lower, s.now())
	if err != nil {
		return nil, err
	}
	d.chmod = s.chmod
	if s.c.Chown != "" {
		o, err := resolveChown(s.c.Chown, lower, s.c.Link)
		if err != nil {
			return nil, err
		}
		d.owner = &o
	}
	return d, s.apply(ctx, d)
}

// mark tells whether p or something that it holds is of the layer, and makes it so: a
// directory that holds a change is in the layer, too.
func (p *place) mark() bool {
	for _, k := range p.kids {
		if k != nil && k.mark() {
			p.write = true
		}
	}
	return p.write
}

// emitting makes entries of places.
type emitting struct {
	ctx   context.Context
	d     *dest
	links linkNumbers
	yield func(cow.Entry) bool
}

func (e *emitting) kids(p *place, at string) error {
	for _, name := range slices.Sorted(maps.Keys(p.kids)) {
		k := p.kids[name]
		if k == nil || !k.write {
			continue
		}
		if err := e.place(k, path.Join(at, name)); err != nil {
			return err
		}
	}
	return nil
}

func (e *emitting) place(p *place, at string) error {
	if e.ctx.Err() != nil {
		return context.Cause(e.ctx)
	}
	out := cow.Entry{Change: cow.Change{Path: at, Kind: cow.Added}, Attr: p.attr, Before: p.before}
	switch {
	case p.gone:
		out.Kind = cow.Deleted
	case p.there:
		out.Kind = cow.Changed
	}
	n := p.from
	var err error
	switch {
	case n != nil:
		err = e.fill(&out, n)
	case p.shines:
		out.Xattrs, err = e.d.lower.Xattrs(at)
		out.Xattrs = carried(out.Xattrs)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if !e.yield(out) {
		return errStop
	}
	if n != nil && n.isFile() {
		if err := n.unchanged(); err != nil {
			return err
		}
	}
	return e.kids(p, at)
}

// fill completes an entry of what n is.
func (e *emitting) fill(out *cow.Entry, n *node) (err error) {
	if !n.summed || !n.plain {
		if out.Xattrs, err = n.src.tree.xattrs(n.path); err != nil {
			return err
		}
	}
	switch n.attr.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		out.Target, err = n.src.tree.readlink(n.path)
	case unix.S_IFREG:
		out.Open = n.open
	}
	if !n.isDir() {
		out.Inode = e.links.of(n)
	}
	return err
}

// unchanged fails if the file is another than was selected.
func (n *node) unchanged() error {
	now, ok, err := n.src.tree.stat(n.path)
	if now = n.src.owned(now); err == nil && (!ok || !now.same(&n.object)) {
		err = errChanged
	}
	if err != nil {
		return fmt.Errorf("%s: %w", strings.TrimPrefix(n.path, "/"), err)
	}
	return nil
}

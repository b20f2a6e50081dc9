package layerpack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/whiteout"
)

// Extract writes what layer l changes on top of o.Below as a tree into the
// directory dst, which must exist and be empty: the form in which the kernel's
// overlayfs stacks layers. It goes by the same merge as [BuildIndex], so that
// an overlay of all trees of a chain is what the index is:
//
//   - paths are those of the merged tree, symbolic links on the way resolved;
//   - a directory that the layer only passes through has the attributes it has
//     below;
//   - what can't be linked across layers is copied: a hard link to a file of a
//     lower layer is a file of its own here;
//   - names that are gone, and directories that hide what is below, are written
//     in o.Dialect, and only where there is something below.
//
// Owners, modes, attributes, times and holes are kept. All is on disk when
// Extract returns. After an error dst holds a part of the tree.
func Extract(ctx context.Context, l cow.Layer, dst string, o ExtractOptions) (Extracted, error) {
	x, err := newExtraction(ctx, l, o)
	if err != nil {
		return Extracted{}, fmt.Errorf("extract layer %s: %w", l.DiffID, err)
	}
	defer x.close()
	if err := x.run(dst); err != nil {
		return Extracted{}, fmt.Errorf("extract layer %s: %w", l.DiffID, err)
	}
	return x.out, nil
}

// extraction is one run of Extract.
type extraction struct {
	ctx    context.Context
	o      ExtractOptions
	layers []cow.Layer // those below, then the one that is extracted
	tars   []*os.File  // opened when first needed
	root   *node
	top    int32 // index of the extracted layer
	whole  bool  // the whole merged tree is written
	onto   bool  // into the tree of the layers below
	out    Extracted

	rootFD  int
	changed map[*node]bool   // directories to write
	first   map[*node]string // path of the first name written of an inode with several
	buf     []byte
}

// newExtraction merges the chain, with a record of what l changes.
func newExtraction(ctx context.Context, l cow.Layer, o ExtractOptions) (*extraction, error) {
	m, _, err := mergeChain(ctx, o.Below)
	if err != nil {
		return nil, err
	}
	t, err := openTOC(l)
	if err != nil {
		return nil, err
	}
	m.delta = true
	if err := m.apply(ctx, len(o.Below), t); err != nil {
		return nil, err
	}
	x := &extraction{
		ctx: ctx, o: o,
		layers:  append(slices.Clone(o.Below), l),
		tars:    make([]*os.File, len(o.Below)+1),
		root:    m.root,
		top:     int32(len(o.Below)),
		changed: make(map[*node]bool),
		first:   make(map[*node]string),
	}
	x.survey(m.root)
	return x, nil
}

// survey finds the directories on the way to a change, and counts names.
func (x *extraction) survey(n *node) bool {
	changed := x.whole || n.layer == x.top || n.dir.delta != nil && (n.dir.delta.opaque || len(n.dir.delta.below) > 0)
	for _, k := range n.dir.kids {
		if !k.isDir() {
			k.nlink++
		} else if x.survey(k) {
			changed = true
		}
	}
	if changed {
		x.changed[n] = true
	}
	return changed
}

func (x *extraction) run(dst string) error {
	fd, err := openat(unix.AT_FDCWD, dst, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", dst, err)
	}
	defer unix.Close(fd)
	x.rootFD = fd
	if err := x.fill(fd, "", x.root); err != nil {
		return err
	}
	if err := x.finish(fd, "", x.root); err != nil {
		return err
	}
	if err := again(func() error { return unix.Syncfs(fd) }); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// A step is one name to write into a directory.
type step struct {
	name string
	node *node // nil: a whiteout
}

// steps are what the layer leaves in directory d, in byte order.
func (x *extraction) steps(d *node) []step {
	var all []step
	var below map[string]*node
	hides := false
	if c := d.dir.delta; c != nil {
		below = c.below
		hides = c.opaque && d != x.root
	}
	for name, was := range below {
		now := d.dir.kids[name]
		switch {
		case now == nil && (was == nil || hides):
		case now == was && !now.isDir() && !hides:
		default:
			all = append(all, step{name, now})
		}
	}
	for name, n := range d.dir.kids {
		if _, touched := below[name]; !touched && (x.whole || x.changed[n]) {
			all = append(all, step{name, n})
		}
	}
	slices.SortFunc(all, func(a, b step) int { return strings.Compare(a.name, b.name) })
	return all
}

// opaque tells whether the directory d, below parent as name, must hide what
// lower layers have there. The root never is: overlayfs merges all roots
// whatever they say, so it gets a whiteout for each name instead.
func (x *extraction) opaque(parent *node, name string, d *node) bool {
	if d == x.root {
		return false
	}
	if d.dir.delta != nil && d.dir.delta.opaque {
		return true
	}
	if parent.dir.delta == nil {
		return false
	}
	was := parent.dir.delta.below[name]
	return was != nil && was.isDir() && was != d
}

// fill writes what the layer leaves in directory d, open as fd.
func (x *extraction) fill(fd int, path string, d *node) error {
	for _, s := range x.steps(d) {
		if x.ctx.Err() != nil {
			return context.Cause(x.ctx)
		}
		if err := x.step(fd, path, d, s); err != nil {
			return err
		}
	}
	return nil
}

func (x *extraction) step(fd int, path string, d *node, s step) error {
	at := path + "/" + s.name
	if x.onto {
		if done, err := x.clear(fd, d, s); done || err != nil {
			if err != nil {
				return fmt.Errorf("remove %q: %w", at, err)
			}
			return nil
		}
	}
	if s.node == nil {
		x.out.Whiteouts++
		if err := x.mark(fd, whiteout.Mark{Kind: whiteout.Remove, Target: s.name}); err != nil {
			return fmt.Errorf("whiteout of %q: %w", at, err)
		}
		return nil
	}
	if !s.node.isDir() {
		if err := x.create(fd, at, s.name, s.node); err != nil {
			return fmt.Errorf("create %q: %w", at, err)
		}
		return nil
	}
	x.out.Dirs++
	err := again(func() error { return unix.Mkdirat(fd, s.name, 0o700) })
	if err != nil && !(x.onto && errors.Is(err, unix.EEXIST)) { // clear left a directory that stays
		return fmt.Errorf("create %q: %w", at, err)
	}
	sub, err := openat(fd, s.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open %q: %w", at, err)
	}
	defer unix.Close(sub)
	if err := x.fill(sub, at, s.node); err != nil {
		return err
	}
	if x.whole || x.onto || !x.opaque(d, s.name, s.node) {
		return nil
	}
	x.out.Opaques++
	if err := x.mark(sub, whiteout.Mark{Kind: whiteout.Opaque}); err != nil {
		return fmt.Errorf("make %q opaque: %w", at, err)
	}
	return nil
}

// finish gives directories their attributes, the innermost first, when nothing
// is written into them any more.
func (x *extraction) finish(fd int, path string, d *node) error {
	for _, s := range x.steps(d) {
		if s.node == nil || !s.node.isDir() {
			continue
		}
		at := path + "/" + s.name
		sub, err := openat(fd, s.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return fmt.Errorf("open %q: %w", at, err)
		}
		err = x.finish(sub, at, s.node)
		unix.Close(sub)
		if err != nil {
			return err
		}
	}
	if err := x.attributes(fd, d); err != nil {
		return fmt.Errorf("set attributes of %q: %w", path+"/", err)
	}
	return nil
}

// tar is the open tar of a layer.
func (x *extraction) tar(layer int32) (*os.File, error) {
	if x.tars[layer] == nil {
		f, err := os.Open(x.layers[layer].Tar())
		if err != nil {
			return nil, err
		}
		x.tars[layer] = f
	}
	return x.tars[layer], nil
}

func (x *extraction) close() {
	for _, f := range x.tars {
		if f != nil {
			f.Close()
		}
	}
}

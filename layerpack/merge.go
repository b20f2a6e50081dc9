package layerpack

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// merger puts layers on top of each other, the bottom one first.
//
// Of each layer the whiteouts come first, and so meet the layers below only,
// wherever in the tar they stand. Then its entries follow in the tar's order,
// and the last of a name wins. A directory over a directory keeps what it
// holds and takes the new attributes; everything else replaces what was there.
type merger struct {
	root  *node
	arena arena
	layer int32
	delta bool // record in directories what the layer at hand changes

	at    string // last directory that was looked up, and the node found,
	found *node  // until a name is taken away
	dirs  map[string]bool
}

func newMerger() *merger {
	m := &merger{}
	m.root = m.arena.node()
	*m.root = node{mode: unix.S_IFDIR | 0o755, layer: -1, dir: &directory{}}
	m.root.dir.parent = m.root
	return m
}

// apply puts one layer on top.
func (m *merger) apply(ctx context.Context, layer int, t toc) error {
	m.layer, m.dirs = int32(layer), nil
	m.forget()
	if strings.Contains(t.body, whiteout.Prefix) {
		if err := m.each(ctx, t, func(e *entry) error { return m.whiteout(t, e) }); err != nil {
			return err
		}
	}
	return m.each(ctx, t, m.add)
}

func (m *merger) each(ctx context.Context, t toc, fn func(*entry) error) error {
	n := 0
	return t.each(func(e *entry) error {
		if n++; n&1023 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if t.stargz && e.stargz {
			return nil
		}
		if err := fn(e); err != nil {
			return fmt.Errorf("%w: entry %q: %w", ErrInvalid, e.name, err)
		}
		return nil
	})
}

// add puts one entry into the tree.
func (m *merger) add(e *entry) error {
	if err := checkEntry(e); err != nil {
		return err
	}
	p, err := cleanPath(e.name)
	if err != nil {
		return err
	}
	if k, _, err := markOf(p); err != nil || k != whiteout.Ordinary {
		return err
	}
	if p == "" {
		m.attributes(m.root, e)
		return nil
	}
	dir, base := splitPath(p)
	parent, err := m.parent(dir, e)
	if err != nil {
		return err
	}
	old := parent.dir.kids[base]
	switch {
	case e.kind == kindHardLink:
		n, err := m.linked(e.target)
		if err != nil {
			return err
		}
		if n != old {
			m.put(parent, base, n)
		}
		return nil
	case e.kind == kindDir && old != nil && old.isDir():
		m.touch(parent, base)
		m.attributes(old, e)
		return nil
	}
	n := m.arena.node()
	m.attributes(n, e)
	switch e.kind {
	case kindFile:
		n.mode |= unix.S_IFREG
		n.size, n.off = e.size, e.off
		if e.holes {
			m.extend(n).sparse, n.ext.holes = e.sparse, true
		}
	case kindSymlink:
		n.mode = unix.S_IFLNK | 0o777 // symlink(7): Linux knows no other, whatever a tar says
		m.extend(n).target = e.target
	case kindChar:
		n.mode |= unix.S_IFCHR
		n.dev = encodeDev(e.major, e.minor)
	case kindBlock:
		n.mode |= unix.S_IFBLK
		n.dev = encodeDev(e.major, e.minor)
	case kindFifo:
		n.mode |= unix.S_IFIFO
	case kindDir:
		if err := m.directory(n, parent); err != nil {
			return err
		}
	}
	m.put(parent, base, n)
	return nil
}

// attributes gives n those of e, but for the type unless n is a directory.
func (m *merger) attributes(n *node, e *entry) {
	n.mode = e.mode
	if n.isDir() {
		n.mode |= unix.S_IFDIR
	}
	n.uid, n.gid, n.mtime, n.nsec, n.layer = e.uid, e.gid, e.mtime, e.nsec, m.layer
	if len(e.xattrs) > 0 || n.ext != nil {
		m.extend(n).xattrs = e.xattrs
		sortXattrs(n.ext.xattrs)
	}
}

func (m *merger) extend(n *node) *extension {
	if n.ext == nil {
		n.ext = &extension{}
	}
	return n.ext
}

// directory makes n a directory below parent.
func (m *merger) directory(n, parent *node) error {
	n.mode |= unix.S_IFDIR
	n.dir = &directory{parent: parent, depth: parent.dir.depth + 1}
	if n.dir.depth > maxDepth {
		return fmt.Errorf("more than %d directories deep", maxDepth)
	}
	return nil
}

// put makes n the child base of parent, in place of what had the name.
func (m *merger) put(parent *node, base string, n *node) {
	m.touch(parent, base)
	if parent.dir.kids[base] != nil {
		m.forget()
	}
	parent.dir.set(base, n)
}

// linked finds the inode that a hard link names.
func (m *merger) linked(target string) (*node, error) {
	p, err := cleanPath(target)
	if err != nil {
		return nil, err
	}
	dir, base := splitPath(p)
	parent, err := m.lookup(dir, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("hard link to %q: %w", target, err)
	}
	var n *node
	if p != "" && parent != nil {
		n = parent.dir.kids[base]
	}
	switch {
	case p == "" || n != nil && n.isDir():
		return nil, fmt.Errorf("hard link to the directory %q", target)
	case n == nil:
		return nil, fmt.Errorf("hard link to %q, which is not in the image", target)
	}
	return n, nil
}

var errLoop = errors.New("too many symbolic links on the way")

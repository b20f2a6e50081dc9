package layerpack

import (
	"maps"

	"github.com/cfs-project/cfs/whiteout"
)

// whiteout applies e to the layers below if it is a whiteout of some kind. One
// that deletes what isn't there is none.
func (m *merger) whiteout(t toc, e *entry) error {
	p, err := cleanPath(e.name)
	if err != nil {
		return err
	}
	k, name, err := markOf(p)
	if err != nil || k == whiteout.Ordinary || k == whiteout.Meta {
		return err
	}
	dir, _ := splitPath(p)
	// Where the layer itself puts a directory in place of a link, its
	// whiteouts are about that directory, which is empty below.
	parent, err := m.lookup(dir, nil, func(part string) bool { return m.directories(t)[part] })
	if err != nil || parent == nil {
		return err
	}
	m.forget()
	if k == whiteout.Remove {
		m.remove(parent, name)
		return nil
	}
	for kid := range maps.Clone(parent.dir.kids) {
		m.remove(parent, kid)
	}
	if m.delta {
		parent.dir.changes().opaque = true
	}
	return nil
}

// remove takes the child name from parent.
func (m *merger) remove(parent *node, name string) {
	if parent.dir.kids[name] == nil {
		return
	}
	m.touch(parent, name)
	delete(parent.dir.kids, name)
}

// directories are the clean paths of the layer's own directory entries.
func (m *merger) directories(t toc) map[string]bool {
	if m.dirs == nil {
		m.dirs = make(map[string]bool)
		t.each(func(e *entry) error {
			if p, err := cleanPath(e.name); err == nil && e.kind == kindDir {
				m.dirs[p] = true
			}
			return nil
		})
	}
	return m.dirs
}

// dirDelta is what one layer changes in a directory.
type dirDelta struct {
	below  map[string]*node // what each name that it touches was before; nil: not there
	opaque bool
}

func (d *directory) changes() *dirDelta {
	if d.delta == nil {
		d.delta = &dirDelta{below: make(map[string]*node)}
	}
	return d.delta
}

// touch notes that the layer at hand changes the child base of parent.
func (m *merger) touch(parent *node, base string) {
	if !m.delta {
		return
	}
	d := parent.dir.changes()
	if _, known := d.below[base]; !known {
		d.below[base] = parent.dir.kids[base]
	}
}

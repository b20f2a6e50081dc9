package layerpack

import (
	"fmt"
	"strings"
)

// Bounds of one look-up through symbolic links. The first is the kernel's.
const (
	maxLinks = 40
	maxSteps = 8192 // names on the way, those in links included
)

// parent is the directory at the clean path dir, found through symbolic links
// that stay inside the root. Directories that are missing come into being with
// the time of the entry that implies them.
func (m *merger) parent(dir string, e *entry) (*node, error) {
	if m.found != nil && m.at == dir {
		return m.found, nil
	}
	n, err := m.lookup(dir, e, nil)
	if err != nil {
		return nil, err
	}
	m.at, m.found = dir, n
	return n, nil
}

// forget is called when a name is taken away: a path may lead elsewhere now.
func (m *merger) forget() { m.at, m.found = "", nil }

// lookup follows path from the root to a directory, clamped to the root. What
// is missing is made if the entry implied is given, else the result is nil. If
// stop is given and true for a part of path that is a symbolic link, the
// result is nil too.
func (m *merger) lookup(path string, implied *entry, stop func(part string) bool) (*node, error) {
	at, rest := m.root, path
	links, steps := 0, 0
	for rest != "" {
		name, after, _ := strings.Cut(rest, "/")
		rest = after
		if steps++; steps > maxSteps {
			return nil, errLoop
		}
		switch name {
		case "", ".":
			continue
		case "..":
			at = at.dir.parent
			continue
		}
		child := at.dir.kids[name]
		switch {
		case child == nil && implied == nil:
			return nil, nil
		case child == nil:
			if len(name) > maxName {
				return nil, fmt.Errorf("a name of more than %d bytes in a symbolic link on the way", maxName)
			}
			child = m.arena.node()
			*child = node{mode: 0o755, mtime: implied.mtime, nsec: implied.nsec, layer: m.layer}
			if err := m.directory(child, at); err != nil {
				return nil, err
			}
			m.put(at, name, child)
		case child.isLink():
			if links == 0 && stop != nil && stop(strings.TrimSuffix(path[:len(path)-len(rest)], "/")) {
				return nil, nil
			}
			if links++; links > maxLinks {
				return nil, errLoop
			}
			target := child.target()
			if target[0] == '/' {
				at = m.root
			}
			if rest = target + "/" + rest; len(rest) > maxSteps*4 {
				return nil, errLoop
			}
			continue
		case !child.isDir():
			if implied == nil {
				return nil, nil
			}
			return nil, fmt.Errorf("%q, in the way to %q, is not a directory", name, path)
		}
		at = child
	}
	return at, nil
}

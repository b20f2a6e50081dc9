package layerpack

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Walk calls fn for every name of the image but "." and "..", a directory
// before what it holds, names in byte order. The root comes first, with the
// empty path. Path, entry and attributes are only valid during the call. An
// error of fn ends the walk and is returned.
func (x *Index) Walk(fn func(path []byte, d *Dirent, a *Attr) error) error {
	w := walk{x: x, fn: fn, seen: make(map[NID]bool)}
	return w.visit(nil, &Dirent{NID: x.root, Type: unix.DT_DIR}, 0)
}

type walk struct {
	x    *Index
	fn   func([]byte, *Dirent, *Attr) error
	seen map[NID]bool // directories: a damaged image may hold a loop
}

func (w *walk) visit(path []byte, d *Dirent, depth int) error {
	var a Attr
	if err := w.x.Stat(d.NID, &a); err != nil {
		return fmt.Errorf("walk %q: %w", path, err)
	}
	if err := w.fn(path, d, &a); err != nil {
		return err
	}
	if a.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	if w.seen[d.NID] || depth > maxDepth {
		return w.x.corrupt("directory %d is its own parent", d.NID)
	}
	w.seen[d.NID] = true
	if depth > 0 {
		path = append(path, '/')
	}
	var inner error
	err := w.x.ReadDir(d.NID, 0, func(e *Dirent) bool {
		if string(e.Name) == "." || string(e.Name) == ".." {
			return true
		}
		child := *e
		inner = w.visit(append(path[:len(path):len(path)], e.Name...), &child, depth+1)
		return inner == nil
	})
	if inner != nil {
		return inner
	}
	return err
}

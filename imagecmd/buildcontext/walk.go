package buildcontext

import (
	"context"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// walk makes nodes of what one path of an instruction selects.
type walk struct {
	ctx     context.Context
	s       *Selection
	src     *Source
	include *patterns // nil: everything
	exclude *patterns // nil: nothing
}

// mayHold tells whether something below the directory rel may match a pattern.
func (s *patterns) mayHold(rel string) bool {
	for _, p := range s.m.Patterns() {
		if mayMeet(strings.Split(rel, "/"), strings.Split(p.String(), "/")) {
			return true
		}
	}
	return false
}

// node is the object at p, which is called rel below the selected directory, with all
// that is selected below it; nil if nothing is. Rel is empty for the selected object itself.
func (w *walk) node(o object, p, rel string) (*node, error) {
	n := &node{object: w.src.owned(o), src: w.src, path: p}
	out := false
	if rel != "" {
		if w.include != nil {
			ok, err := w.include.match(rel)
			if err != nil {
				return nil, err
			}
			n.pass = !ok
		}
		if w.exclude != nil {
			var err error
			if out, err = w.exclude.match(rel); err != nil {
				return nil, err
			}
			n.pass = n.pass || out
		}
	}
	if !o.isDir() {
		if !n.pass && o.attr.Mode&unix.S_IFMT == unix.S_IFSOCK {
			w.s.note(strings.TrimPrefix(p, "/"), "a socket: left out")
			return nil, nil
		}
		if n.pass {
			return nil, nil
		}
		return n, nil
	}
	if out && !w.exclude.below(rel) || n.pass && !out && !w.include.mayHold(rel) {
		return nil, nil
	}
	if w.ctx.Err() != nil {
		return nil, context.Cause(w.ctx)
	}
	list, err := w.src.tree.list(p)
	if err != nil {
		return nil, err
	}
	for i := range list {
		kid, err := w.node(list[i], path.Join(p, list[i].name), path.Join(rel, list[i].name))
		if err != nil {
			return nil, err
		}
		if kid != nil {
			n.kids = append(n.kids, kid)
		}
	}
	if n.pass && len(n.kids) == 0 {
		return nil, nil
	}
	return n, nil
}

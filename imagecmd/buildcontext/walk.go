package buildcontext

import (
	"context"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// walk makes nodes of what one path of an instruction selects. Directories are read by as many
// goroutines as there are CPUs.
type walk struct {
	ctx     context.Context
	s       *Selection
	src     *Source
	include *patterns     // nil: everything
	exclude *patterns     // nil: nothing
	more    chan struct{} // room for goroutines beside the first
}

func (s *Selection) walk(ctx context.Context, src *Source, include, exclude *patterns) *walk {
	return &walk{ctx: ctx, s: s, src: src, include: include, exclude: exclude, more: make(chan struct{}, runtime.GOMAXPROCS(0)-1)}
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
	if n.kids, err = w.below(list, p, rel); err != nil {
		return nil, err
	}
	if n.pass && len(n.kids) == 0 {
		return nil, nil
	}
	return n, nil
}

// below are the nodes of what the directory at p holds.
func (w *walk) below(list []object, p, rel string) ([]*node, error) {
	nodes, errs := make([]*node, len(list)), make([]error, len(list))
	var others sync.WaitGroup
	for i := range list {
		o := &list[i]
		one := func() { nodes[i], errs[i] = w.node(*o, path.Join(p, o.name), path.Join(rel, o.name)) }
		if o.isDir() {
			select {
			case w.more <- struct{}{}:
				others.Go(func() {
					one()
					<-w.more
				})
				continue
			default:
			}
		}
		if one(); errs[i] != nil {
			break
		}
	}
	others.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(nodes, func(n *node) bool { return n == nil }), nil
}

package buildcontext

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cfs-project/cfs/cow"
)

// A Selection is what one instruction takes. It is for one goroutine at a time.
type Selection struct {
	c     Copy
	o     SelectOptions
	chmod chmod
	items []*item

	noting sync.Mutex
	closes []func() error
}

// An item is one path of an instruction, or one that its wildcards match.
type item struct {
	name string // what it is called in a destination directory
	root *node
	// unpack says that the file is unpacked if it is an archive.
	unpack bool
	// fetch, when not nil, makes root: what a checksum names is fetched only when it
	// is needed. Known is what Digest takes for it until then.
	fetch func(ctx context.Context) (*node, error)
	known string
}

// A node is one object that is selected.
type node struct {
	object
	src  *Source
	path string // in src, without symbolic links
	// pass says that the directory is not selected itself, only something that it holds.
	pass bool
	kids []*node // by name
	// sum is of content, target and extended attributes; plain says that there are none of
	// the last. Both are known only when summed is true.
	sum           sum
	plain, summed bool
}

func (n *node) open() (cow.Data, error) { return n.src.tree.open(n.path) }

// now is the time of what the instruction makes.
func (s *Selection) now() time.Time {
	if s.o.Time.IsZero() {
		return time.Now()
	}
	return s.o.Time
}

func (s *Selection) note(p, what string) {
	if s.o.Note != nil {
		s.noting.Lock()
		defer s.noting.Unlock()
		s.o.Note(p, what)
	}
}

// get is an item's root, fetched if it wasn't.
func (s *Selection) get(ctx context.Context, i *item) (*node, error) {
	if i.root != nil {
		return i.root, nil
	}
	n, err := i.fetch(ctx)
	if err != nil {
		return nil, err
	}
	i.root = n
	return n, nil
}

// closing has something done by Close.
func (s *Selection) closing(f func() error) { s.closes = append(s.closes, f) }

// Kind is "file", "dir" or "multi": what Docker's history says that was copied
// ("COPY file:DIGEST in /dest ").
func (s *Selection) Kind() string {
	switch {
	case len(s.items) != 1 || s.c.Parents:
		return "multi"
	case s.items[0].root != nil && s.items[0].root.isDir():
		return "dir"
	}
	return "file"
}

// Close removes what was fetched and unpacked, but for data opened from it.
func (s *Selection) Close() error {
	var err error
	for _, c := range s.closes {
		err = errors.Join(err, c())
	}
	s.closes = nil
	return err
}

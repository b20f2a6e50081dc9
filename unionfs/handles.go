package unionfs

import (
	"container/list"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A handle is an open descriptor that several calls may use at once. The last
// one to put it closes it.
type handle struct {
	fd       int
	writable bool // immutable
	refs     atomic.Int32

	// A file of which a part is in another, see lower_dirs_data.go. Immutable.
	below *handle
	bound int64 // in bytes

	stream stream // of a lower's file; see lower_dirs_stream.go
}

func newHandle(fd int, writable bool) *handle {
	h := &handle{fd: fd, writable: writable}
	h.refs.Store(1)
	return h
}

func (h *handle) put() {
	if h.refs.Add(-1) == 0 {
		unix.Close(h.fd)
		if h.below != nil {
			h.below.put()
		}
	}
}

// handles is a bounded cache of descriptors: without OPEN and RELEASE nobody
// tells when a file is no longer needed, so the least recently used go first
// and are opened again when they are missed. A key is whatever tells objects
// apart (nodes, directories of a lower).
type handles struct {
	shards [16]handleShard
	limit  int // per shard
}

type handleShard struct {
	mu  sync.Mutex
	m   map[any]*list.Element
	lru list.List // of *handleEntry, most recently used first
}

type handleEntry struct {
	key any
	h   *handle
}

func newHandles(limit int) *handles {
	return &handles{limit: max(2, limit/16)}
}

func (c *handles) shard(slot uint64) *handleShard { return &c.shards[slot&15] }

// get returns the cached handle of key with a reference for the caller, or nil.
func (c *handles) get(slot uint64, key any) *handle {
	s := c.shard(slot)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.m[key]
	if e == nil {
		return nil
	}
	s.lru.MoveToFront(e)
	h := e.Value.(*handleEntry).h
	h.refs.Add(1)
	return h
}

// add caches h, which replaces an earlier handle of the same key. The cache
// takes a reference of its own; the caller's stays the caller's.
func (c *handles) add(slot uint64, key any, h *handle) {
	h.refs.Add(1)
	s := c.shard(slot)
	s.mu.Lock()
	var out [2]*handle
	if s.m == nil {
		s.m = make(map[any]*list.Element)
	}
	if e := s.m[key]; e != nil {
		ent := e.Value.(*handleEntry)
		out[0], ent.h = ent.h, h
		s.lru.MoveToFront(e)
	} else {
		s.m[key] = s.lru.PushFront(&handleEntry{key, h})
		if s.lru.Len() > c.limit {
			old := s.lru.Remove(s.lru.Back()).(*handleEntry)
			delete(s.m, old.key)
			out[1] = old.h
		}
	}
	s.mu.Unlock()
	for _, h := range out {
		if h != nil {
			h.put()
		}
	}
}

// drop forgets key.
func (c *handles) drop(slot uint64, key any) {
	s := c.shard(slot)
	s.mu.Lock()
	e := s.m[key]
	if e != nil {
		delete(s.m, key)
		s.lru.Remove(e)
	}
	s.mu.Unlock()
	if e != nil {
		e.Value.(*handleEntry).h.put()
	}
}

// purge forgets everything.
func (c *handles) purge() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for _, e := range s.m {
			e.Value.(*handleEntry).h.put()
		}
		s.m = nil
		s.lru.Init()
		s.mu.Unlock()
	}
}

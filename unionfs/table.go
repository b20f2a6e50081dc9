package unionfs

import (
	"sync"
	"sync/atomic"
)

// table maps the kernel's node ids to nodes. Ids are dense, so that the table
// is two loads deep and needs no lock to read; a freed id is used again with
// another generation.
type table struct {
	chunks [1 << 14]atomic.Pointer[tableChunk] // 16 Mi ids at most in the first level's reach

	mu   sync.Mutex
	next uint64   // protected by mu: lowest id never used
	free []uint64 // protected by mu
	more int      // protected by mu: ids that are second ones
	gen  uint32   // protected by mu: grows whenever an id is used again
}

const chunkBits = 12

type tableChunk [1 << chunkBits]atomic.Pointer[node]

// get returns the node with that id, nil when there is none.
func (t *table) get(id uint64) *node {
	c := id >> chunkBits
	if c >= uint64(len(t.chunks)) {
		return nil
	}
	chunk := t.chunks[c].Load()
	if chunk == nil {
		return nil
	}
	return chunk[id&(1<<chunkBits-1)].Load()
}

// add gives n an id and a generation. It reports false when ids have run out.
func (t *table) add(n *node) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := len(t.free); l > 0 {
		n.id = t.free[l-1]
		t.free = t.free[:l-1]
		t.gen++
	} else {
		if t.next>>chunkBits >= uint64(len(t.chunks)) {
			return false
		}
		n.id = t.next
		t.next++
	}
	n.gen = t.gen
	c := n.id >> chunkBits
	chunk := t.chunks[c].Load()
	if chunk == nil {
		chunk = new(tableChunk)
		t.chunks[c].Store(chunk)
	}
	chunk[n.id&(1<<chunkBits-1)].Store(n)
	return true
}

// alias gives n, the first that was added, the next id as a second one, for good.
func (t *table) alias(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.chunks[0].Load()[t.next].Store(n)
	t.next++
	t.more++
}

// remove frees n's id.
func (t *table) remove(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.chunks[n.id>>chunkBits].Load()[n.id&(1<<chunkBits-1)].Store(nil)
	t.free = append(t.free, n.id)
}

// each calls fn for every live node. What no id was used of yet isn't touched: of most tables
// that is nearly all.
func (t *table) each(fn func(n *node)) {
	t.mu.Lock()
	next := t.next
	t.mu.Unlock()
	for id := range next {
		if n := t.get(id); n != nil {
			fn(n)
		}
	}
}

// count is the number of live nodes.
func (t *table) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int(t.next) - 1 - t.more - len(t.free)
}

// identities finds the node of an object by what it is on disk: an inode of
// the lower, or an inode of the upper directory. It holds no references; a
// node that is dead is as good as absent.
type identities struct {
	shards [64]struct {
		mu sync.Mutex
		m  map[uint64]*node
	}
}

func shardOf(key uint64) uint64 { return (key * 0x9e3779b97f4a7c15) >> 58 }

// get returns the live node with that key, with a reference taken.
func (t *identities) get(key uint64) *node {
	s := &t.shards[shardOf(key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.m[key]; n != nil && n.acquire() {
		return n
	}
	return nil
}

// put makes n the node of key unless a live node has it already, which is then
// returned, with a reference taken.
func (t *identities) put(key uint64, n *node) *node {
	s := &t.shards[shardOf(key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.m[key]; old != nil && old != n && old.acquire() {
		return old
	}
	if s.m == nil {
		s.m = make(map[uint64]*node)
	}
	s.m[key] = n
	return n
}

// drop removes key if it still leads to n.
func (t *identities) drop(key uint64, n *node) {
	s := &t.shards[shardOf(key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[key] == n {
		delete(s.m, key)
	}
}

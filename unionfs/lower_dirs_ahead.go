package unionfs

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// An ahead reads what a client of plain directories is about to ask for, on a CPU
// that is idle and from a disk that has time while the client is at work with what
// it has got. Cold, a walk would else wait at every directory and at every file.
//
//   - Who lists a directory, having listed its parent, walks: the directories in
//     it, then those after it, are read, and the attributes of all that is in them.
//   - Who reads the files of a directory in their order has the next ones opened
//     and their beginnings read, see [sequence].
//
// It reads into the kernel's caches, and into tables and handles that the client's
// own requests would make, and is never further ahead than aheadNames and
// aheadFiles. What fails is left to the client to be told of.
type ahead struct {
	d       *dirsLower
	wake    chan struct{} // holds one at most; closed at the end
	done    chan struct{}
	stopped atomic.Bool

	mu      sync.Mutex // the fields below
	started bool
	walk    []aheadWalk // the innermost last
	lead    int         // names in directories that are read and not yet listed
	files   sequence
}

// An aheadWalk is a directory whose directories are walked.
type aheadWalk struct {
	t    *dirTable
	next int // index in t.list
}

const (
	aheadNames = 4096
	aheadDepth = 64
	aheadBytes = 128 << 10 // of a file; from there on the kernel's own read-ahead does
)

// What a directory is to an ahead, in dirObj.seen.
const (
	dirUnseen = iota
	dirAhead  // read before anybody asked for it
	dirListed // by a client
)

func newAhead(d *dirsLower) *ahead {
	return &ahead{d: d, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// stop returns when nothing is read ahead any more. No other call may follow.
func (a *ahead) stop() {
	a.stopped.Store(true)
	close(a.wake)
	if a.started {
		<-a.done
	}
}

// ring lets what was noted be done. Requires mu.
func (a *ahead) ring() {
	if !a.started {
		a.started = true
		go a.work()
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *ahead) work() {
	defer close(a.done)
	for range a.wake {
		for !a.stopped.Load() && (a.readFile() || a.readDir()) {
		}
	}
}

// listed is told that a client lists o, whose table is t, from its beginning.
func (a *ahead) listed(o *dirObj, t *dirTable) {
	before := o.seen.Swap(dirListed)
	if before == dirListed || o.parent == nil || o.parent.seen.Load() != dirListed {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if before == dirAhead {
		a.lead = max(a.lead-len(t.list), 0)
	}
	for n := len(a.walk); n > 0 && a.walk[n-1].t != o.parent.table.Load(); n-- {
		a.walk = a.walk[:n-1]
	}
	if len(a.walk) == 0 { // a new one: what the last has left unlisted is no concern of it
		a.lead = 0
		a.walk = append(a.walk, aheadWalk{t: o.parent.table.Load()})
	}
	if len(t.dirs) > 0 && len(a.walk) < aheadDepth {
		a.walk = append(a.walk, aheadWalk{t: t})
	}
	a.files.enter(o, t)
	a.ring()
}

// read is told that a client reads the beginning of a file.
func (a *ahead) read(r lowerRef) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.files.read(r) {
		a.ring()
	}
}

// readFile reads one file ahead; false if there is none to be read.
func (a *ahead) readFile() bool {
	a.mu.Lock()
	r, ok := a.files.take()
	a.mu.Unlock()
	if !ok {
		return false
	}
	h, err := a.d.dataHandle(r)
	if err != nil {
		return true
	}
	defer h.put()
	_ = unix.Fadvise(h.fd, 0, aheadBytes, unix.FADV_WILLNEED)
	return true
}

// readDir reads one directory ahead; false if there is none to be read.
func (a *ahead) readDir() bool {
	o := a.nextDir()
	if o == nil {
		return false
	}
	t, err := a.d.load(lowerRef{obj: o})
	if err != nil {
		return true
	}
	a.mu.Lock()
	came := !o.seen.CompareAndSwap(dirUnseen, dirAhead)
	if !came {
		a.lead += len(t.list)
	}
	a.mu.Unlock()
	if came {
		return true
	}
	var st unix.Stat_t
	for i := range t.list {
		if o.seen.Load() != dirAhead || a.stopped.Load() {
			break // the client asks for them now
		}
		e := &t.list[i]
		h, err := a.d.dirHandle(o, e.loc, t.locs[e.loc])
		if err != nil {
			break
		}
		_ = at{h.fd, t.name(e)}.stat(&st)
		h.put()
	}
	return true
}

// nextDir takes the next directory of the walk that nobody has listed, unless
// enough is read ahead.
func (a *ahead) nextDir() *dirObj {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lead >= aheadNames {
		return nil
	}
	for n := len(a.walk); n > 0; n-- {
		w := &a.walk[n-1]
		for w.next < len(w.t.list) {
			e := &w.t.list[w.next]
			w.next++
			if e.kind() != unix.S_IFDIR {
				continue
			}
			if o := &w.t.dirs[e.ino]; o.seen.Load() == dirUnseen {
				return o
			}
		}
		// It stays, with nothing left, for the directories that are listed in it.
	}
	return nil
}

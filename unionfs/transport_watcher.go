package unionfs

import (
	"sync/atomic"
	"time"
)

// A watcher relieves a reader that is held up by one request. It runs while
// there are requests, and sleeps when there have been none for a while.
type watcher struct {
	s      *loopSession
	awake  atomic.Bool
	served atomic.Bool // a request came since the last look
	bell   chan struct{}
	quit   chan struct{}
	over   chan struct{}
}

const (
	watchEvery  = time.Millisecond
	watchLinger = 50 // looks without a request
)

func (w *watcher) init(s *loopSession) {
	w.s = s
	w.bell, w.quit, w.over = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
}

// alive is called for every request the reader takes.
func (w *watcher) alive() {
	if !w.served.Load() {
		w.served.Store(true)
	}
	if !w.awake.Load() && w.awake.CompareAndSwap(false, true) {
		select {
		case w.bell <- struct{}{}:
		default:
		}
	}
}

func (w *watcher) stop() {
	close(w.quit)
	<-w.over
}

func (w *watcher) run() {
	defer close(w.over)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	tick.Stop()
	turns := make(map[*worker]uint64)
	idle := 0
	for {
		select {
		case <-w.quit:
			return
		case <-w.bell:
			tick.Reset(watchEvery)
			idle = 0
		case <-tick.C:
			if w.look(turns) || w.served.Swap(false) {
				idle = 0
			} else if idle++; idle > watchLinger {
				tick.Stop()
				clear(turns)
				w.s.shrink()
				w.awake.Store(false)
				if w.served.Swap(false) { // between the look and the store
					w.alive()
				}
			}
		}
	}
}

// look relieves the reader if nobody reads and some worker is at the request
// that it was at the last time. It tells whether anybody is at work.
func (w *watcher) look(turns map[*worker]uint64) bool {
	busy, stuck := false, false
	w.s.mu.Lock()
	for o := range w.s.all {
		t := o.turn.Load()
		if t&1 == 1 {
			busy = true
			stuck = stuck || turns[o] == t
		}
		turns[o] = t
	}
	if len(turns) > len(w.s.all) {
		for o := range turns {
			if _, ok := w.s.all[o]; !ok {
				delete(turns, o)
			}
		}
	}
	w.s.mu.Unlock()
	if stuck {
		w.s.relieve()
	}
	return busy
}

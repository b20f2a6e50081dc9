package unionfs

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Loop is the transport that reads /dev/fuse itself.
//
//	                 ┌── the reader: waits in read(2), works on what it gets
//	/dev/fuse ──────►│   itself, answers, and reads again
//	(a cloned        ├── others at work, where the reader had more to do than one
//	 descriptor      │   can, or was held up
//	 a worker)       └── at most idleWorkers asleep
//
// Waking a sleeping thread costs more than most requests, so as long as one
// worker keeps up, one worker it is: there is one reader, which is not relieved
// while it works. It is relieved, by a sleeping worker or a new one, when the
// request is known to take long (fsync), when requests have queued up while it
// worked several times over, and when [watcher] finds it at one request
// for a millisecond. A worker that comes back and finds a reader goes to sleep.
//
// A worker is a goroutine on a thread of its own with an [exchange]; nothing is
// allocated for a request, and no goroutine started. Init and SetDebug of the
// file system are not called.
type Loop struct {
	// Workers is how many requests are worked on at once; 0 is 32.
	Workers int
	// Spin is for how long a worker may look for the next request before it
	// goes to sleep. It does so only while requests come within that time and
	// it makes them come sooner. 0 chooses by the machine, less than 0 is never.
	Spin time.Duration

	shared bool // for tests: as if the device couldn't be opened again
}

const (
	defaultWorkers = 32
	idleWorkers    = 2
	backlogLimit   = 8 // requests found waiting, one after the other, before the reader gets help
)

type loopSession struct {
	fs    fuse.RawFileSystem
	fd    int
	caps  uint64
	loop  Loop
	o     TransportOptions
	poll  pollAnswer
	done  chan struct{}
	wg    sync.WaitGroup // workers
	watch watcher
	look  *lookout

	reading atomic.Bool // some worker waits for a request, or is about to: the reader
	ended   atomic.Bool

	mu     sync.Mutex
	asleep []*worker
	all    map[*worker]struct{}
}

// Serve implements [Transport].
func (l Loop) Serve(fd int, fs fuse.RawFileSystem, o TransportOptions) (Session, error) {
	caps, err := negotiate(fd, o)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	if l.Workers <= 0 {
		l.Workers = defaultWorkers
	}
	if l.Spin == 0 {
		l.Spin = defaultSpin()
	}
	s := &loopSession{fs: fs, fd: fd, caps: caps, loop: l, o: o, done: make(chan struct{}), all: make(map[*worker]struct{})}
	if o.Debug != nil {
		s.o.Debug = &lockedWriter{w: o.Debug}
	}
	s.watch.init(s)
	s.look = newLookout()
	s.reading.Store(true)
	if err := s.start(); err != nil {
		s.look.stop()
		unix.Close(fd)
		return nil, err
	}
	go s.watch.run()
	go s.finish()
	return s, nil
}

// Capabilities implements [Session].
func (s *loopSession) Capabilities() uint64 { return s.caps }

// Wait implements [Session].
func (s *loopSession) Wait() { <-s.done }

// Ready implements [Session]. It has poll(2) asked for once: see [pollOnce].
func (s *loopSession) Ready(target string) error { return pollOnce(target) }

// finish closes what is left when the last worker has gone.
func (s *loopSession) finish() {
	s.wg.Wait()
	s.watch.stop()
	s.look.stop()
	unix.Close(s.fd)
	s.fs.OnUnmount()
	close(s.done)
}

// relieve gives the connection a reader if it has none.
func (s *loopSession) relieve() {
	if !s.reading.CompareAndSwap(false, true) {
		return
	}
	s.mu.Lock()
	if n := len(s.asleep); n > 0 {
		w := s.asleep[n-1]
		s.asleep = s.asleep[:n-1]
		s.mu.Unlock()
		w.wake()
		return
	}
	full := len(s.all) >= s.loop.Workers
	s.mu.Unlock()
	// Without memory or descriptors those at work have to do.
	if full || s.start() != nil {
		s.reading.Store(false)
	}
}

// start begins a worker, which is the reader already.
func (s *loopSession) start() error {
	w, err := newWorker(s)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.ended.Load() {
		s.mu.Unlock()
		w.close()
		return unix.ENODEV
	}
	s.all[w] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	go w.run()
	return nil
}

// sleep lets w wait until it is woken as the reader, which it becomes at once
// if there is none; false when it shall end.
func (s *loopSession) sleep(w *worker) bool {
	s.mu.Lock()
	if s.reading.CompareAndSwap(false, true) {
		s.mu.Unlock()
		return true
	}
	if s.ended.Load() || len(s.asleep) >= idleWorkers {
		s.mu.Unlock()
		return false
	}
	// The reader of a moment ago may be at work by now. It reads again after.
	s.asleep = append(s.asleep, w)
	s.mu.Unlock()
	w.sleep()
	return !s.ended.Load()
}

// shrink gives back memory that workers asleep have used.
func (s *loopSession) shrink() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.asleep { // woken only by who holds the lock
		w.x.shrink()
	}
}

// end has every worker end.
func (s *loopSession) end() {
	s.mu.Lock()
	s.ended.Store(true)
	asleep := s.asleep
	s.asleep = nil
	s.mu.Unlock()
	for _, w := range asleep {
		w.wake()
	}
}

// leave is the last that a worker does.
func (s *loopSession) leave(w *worker) {
	s.mu.Lock()
	delete(s.all, w)
	s.mu.Unlock()
	w.close()
	s.wg.Done()
}

// cloneDevice opens the connection of fd once more, with requests of its own
// in flight.
func cloneDevice(fd, flags int) (int, error) {
	clone, err := openClone(fd, flags)
	if err != nil {
		return -1, err
	}
	if err := unix.IoctlSetPointerInt(clone, fuseDevIocClone, fd); err != nil {
		unix.Close(clone)
		return -1, fmt.Errorf("clone %s: %w", fuseDevice, err)
	}
	return clone, nil
}

// fuseDevIocClone is FUSE_DEV_IOC_CLONE: _IOR(229, 0, uint32_t).
const fuseDevIocClone = 0x8004e500

// openClone opens the device by its name, and where it isn't there (another
// root directory) by way of the descriptor.
func openClone(fd, flags int) (clone int, err error) {
	for _, name := range [...]string{fuseDevice, fmt.Sprintf("/proc/self/fd/%d", fd)} {
		err = eintr(func() (err error) {
			clone, err = unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC|flags, 0)
			return err
		})
		if err == nil {
			return clone, nil
		}
	}
	return -1, fmt.Errorf("open %s: %w", fuseDevice, err)
}

// defaultSpin: with one CPU, whoever spins keeps the others from running.
func defaultSpin() time.Duration {
	if runtime.NumCPU() < 2 {
		return -1
	}
	return 50 * time.Microsecond
}

// lockedWriter lets workers share a debug output.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

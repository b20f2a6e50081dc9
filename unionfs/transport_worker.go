package unionfs

import (
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A worker reads and answers requests, one after the other.
type worker struct {
	s *loopSession
	x *exchange
	// wait is read to wait for a request, look to see whether there is one. An
	// answer goes to the descriptor that the request came from. wait is the
	// session's own, and look -1, where the device can't be cloned.
	wait, look int
	bell       int // an eventfd to sleep on

	turn    atomic.Uint64 // odd while at work on a request; for the watcher
	backlog int           // requests that were found waiting, in a row
	heavy   bool          // the last one moved much data
	count   uint
	pace    pace
	follow  follower
}

func newWorker(s *loopSession) (*worker, error) {
	w := &worker{s: s, look: -1, pace: pace{spin: max(s.loop.Spin, 0), taken: threadTaken}}
	var err error
	if w.x, err = newExchange(s.fs, s.o.MaxWrite, &s.poll, s.o.Debug); err != nil {
		return nil, err
	}
	w.x.setxattrExt = s.caps&fuse.CAP_SETXATTR_EXT != 0
	if w.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		w.x.close()
		return nil, err
	}
	// Without clones it works as well, but for looking whether requests queue
	// up: then only the watcher calls other workers.
	if w.wait = s.fd; s.loop.shared {
		return w, nil
	}
	clone, err := cloneDevice(s.fd, 0)
	if err != nil {
		return w, nil
	}
	w.wait = clone
	if w.look, err = cloneDevice(s.fd, unix.O_NONBLOCK); err != nil {
		w.look = -1
	}
	return w, nil
}

func (w *worker) close() {
	if w.wait != w.s.fd {
		unix.Close(w.wait)
	}
	if w.look >= 0 {
		unix.Close(w.look)
	}
	unix.Close(w.bell)
	w.x.close()
}

func (w *worker) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer w.s.leave(w)
	w.follow.begin(w.s.look)
	defer w.follow.end()
	for {
		fd, n, errno := w.next()
		if errno != 0 {
			w.s.end()
			return
		}
		w.serve(fd, n)
		for !w.s.reading.CompareAndSwap(false, true) {
			// Somebody reads already. What is there is taken along.
			n, errno := w.peek()
			if errno != 0 {
				if !w.s.sleep(w) {
					return
				}
				break // as the reader
			}
			w.turn.Add(1)
			w.answer(w.look, n)
		}
	}
}

// next waits for a request, as the reader.
func (w *worker) next() (fd, n int, errno unix.Errno) {
	before := time.Now()
	looking := w.pace.looking && !w.follow.follows() // there, looking would keep the client from running
	if w.look >= 0 && (looking || w.backlog > 0 || w.heavy || w.sample()) {
		for first := true; ; first = false {
			n, errno = w.peek()
			now := time.Now()
			if errno != unix.EAGAIN {
				if first {
					w.backlog++
					if w.heavy {
						w.backlog += backlogLimit / 2
					}
				} else {
					w.backlog = 0
				}
				w.pace.came(now.Sub(before), now)
				return w.look, n, errno
			}
			if !looking || now.Sub(before) > w.pace.spin {
				break
			}
		}
	}
	w.backlog = 0
	for {
		n, errno = readDevice(w.wait, w.x.space())
		if errno != unix.EAGAIN {
			break
		}
	}
	now := time.Now()
	w.pace.came(now.Sub(before), now)
	return w.wait, n, errno
}

// sample is true every now and then: is there a queue?
func (w *worker) sample() bool {
	w.count++
	return w.count&15 == 0
}

// peek takes a request if there is one, and is EAGAIN otherwise.
func (w *worker) peek() (int, unix.Errno) {
	if w.look < 0 {
		return 0, unix.EAGAIN
	}
	return readDevice(w.look, w.x.space())
}

// serve answers a request that came to the reader, and has it relieved if that
// may take long.
func (w *worker) serve(fd, n int) {
	w.s.reading.Store(false)
	w.turn.Add(1)
	w.s.watch.alive()
	w.heavy = heavy(w.x.space()[:n])
	if w.backlog >= backlogLimit {
		w.backlog = 0
		w.s.relieve()
	} else if slow(w.x.space()[:n]) {
		w.s.relieve()
	}
	w.follow.request(w.x.space()[:n])
	w.answer(fd, n)
}

// answer ends the turn that its caller has begun.
func (w *worker) answer(fd, n int) {
	if reply := w.x.answer(n); reply != nil {
		switch writeDevice(fd, reply) {
		case 0:
		case unix.ENOENT: // nobody waits for it any more
		case unix.ENODEV: // nobody ever will; the next read says so too
		default:
			// The kernel doesn't take the reply as it is, and whoever waits for
			// it must not wait for ever.
			_ = writeDevice(fd, w.x.refuse())
		}
	}
	w.turn.Add(1)
}

// slow tells whether a request is sure to wait for a disk.
func slow(msg []byte) bool {
	h, _ := arg[fuse.InHeader](msg)
	if h == nil {
		return false
	}
	switch h.Opcode {
	case opFsync, opFsyncdir, opFallocate, opCopyFileRange, opSetlkw:
		return true
	}
	return false
}

// heavyFrom is so much data that moving it takes longer than waking a worker.
const heavyFrom = 64 << 10

// heavy tells whether a request moves much data.
func heavy(msg []byte) bool {
	if len(msg) >= heavyFrom {
		return true
	}
	in, _ := arg[fuse.ReadIn](msg)
	return in != nil && in.Opcode == opRead && in.Size >= heavyFrom
}

func (w *worker) sleep() {
	var b [8]byte
	for {
		if _, err := unix.Read(w.bell, b[:]); err != unix.EINTR {
			return
		}
	}
}

func (w *worker) wake() {
	one := [8]byte{1}
	one[7] = 1 // in either byte order not zero
	_ = eintr(func() error { _, err := unix.Write(w.bell, one[:]); return err })
}

// readDevice reads one request. ENOENT is a request that was taken back while
// it was read; the next one is read instead. EAGAIN is returned only by a
// descriptor that doesn't wait. ENODEV is the end.
func readDevice(fd int, b []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case unix.EINTR, unix.ENOENT:
		default:
			return int(n), errno
		}
	}
}

// writeDevice writes one reply, which the kernel takes as a whole or not at all.
func writeDevice(fd int, b []byte) unix.Errno {
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if errno != unix.EINTR && errno != unix.EAGAIN {
			return errno
		}
	}
}

package unionfs

import (
	"bytes"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A follower keeps a worker's thread on the CPU that its client runs on.
//
// A program that waits for an answer leaves its CPU idle. A server on another
// CPU has to be woken there, and then to wake the client here: on a virtual
// machine each wake-up of an idle CPU costs more than most requests. On one CPU
// the two hand it to each other, with no CPU woken at all (measured on two CPUs:
// a cold walk takes 0.6, reading every file 0.5 of the time that it takes apart).
//
// So every now and then the worker looks where the client of the request at hand
// sleeps, and goes there. It stops following when there are clients on
// several CPUs, when requests are large, so that both sides have work at the
// same time, and when others want that CPU, so that it has to wait for it.
// It tries again after a while, which doubles each time.
type follower struct {
	look *lookout
	seen atomic.Int32 // the CPU that look has found by itself, plus 1; 0: nothing new

	all       unix.CPUSet // what the thread may use
	can       bool
	schedstat int // /proc/thread-self/schedstat, or -1

	cpu    int // the thread is kept there; -1: nowhere
	last   int // CPU of the last sample, -1: none
	count  int // requests until the next sample
	moves  int // samples that differed from the one before, less those that didn't
	large  int // large requests in a row
	waited uint64
	pause  time.Duration
	retry  time.Time
}

const (
	followEvery    = 64 // requests from sample to sample, once it follows
	followFirst    = 8  // the same before
	followMoves    = 3  // clients that move more than that aren't followed
	followLarge    = 4  // nor are requests of followSize and more, that many in a row
	followSize     = 128 << 10
	followWait     = uint64(60 * time.Microsecond) // nor, if it waits so long for the CPU, a request
	followPauseMin = 20 * time.Millisecond
	followPauseMax = 2 * time.Second
)

// begin is called on the worker's thread.
func (f *follower) begin(look *lookout) {
	f.look = look
	f.cpu, f.last, f.schedstat, f.count = -1, -1, -1, followFirst
	if unix.SchedGetaffinity(0, &f.all) != nil || f.all.Count() < 2 {
		return
	}
	fd, err := unix.Open("/proc/thread-self/schedstat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	f.schedstat, f.can = fd, true
}

// end gives the thread back as it was.
func (f *follower) end() {
	f.release()
	if f.schedstat >= 0 {
		unix.Close(f.schedstat)
	}
}

// follows tells whether the thread is kept on its client's CPU.
func (f *follower) follows() bool { return f.cpu >= 0 }

// release lets the thread run anywhere.
func (f *follower) release() {
	if f.cpu >= 0 {
		_ = unix.SchedSetaffinity(0, &f.all)
		f.cpu = -1
	}
	f.last, f.moves, f.large, f.count = -1, 0, 0, followFirst
}

// giveUp releases the thread for a while.
func (f *follower) giveUp(now time.Time) {
	f.release()
	f.pause = min(max(2*f.pause, followPauseMin), followPauseMax)
	f.retry = now.Add(f.pause)
}

// request is called with each request, before it is answered.
func (f *follower) request(msg []byte) {
	if !f.can {
		return
	}
	if f.count--; f.count > 0 && f.large == 0 && len(msg) < followSize {
		return
	}
	h, _ := arg[fuse.InHeader](msg)
	if h == nil {
		return
	}
	if isLarge(h, msg) {
		if f.large++; f.large > followLarge && f.follows() {
			f.giveUp(time.Now())
		}
	} else {
		f.large = 0
	}
	if f.count > 0 {
		return
	}
	f.count = followFirst
	if f.large > 0 || h.Pid == 0 {
		return
	}
	now := time.Now()
	if f.cpu < 0 && now.Before(f.retry) {
		f.seen.Store(0)
		return
	}
	cpu := int(f.seen.Swap(0)) - 1
	if unlocked(h.Opcode) {
		cpu = f.look.find(h.Pid)
	} else {
		f.look.ask(f, h.Pid)
	}
	if cpu >= 0 {
		f.sample(cpu, now)
	}
}

// isLarge tells whether a request moves so much data that client and server
// are better off on two CPUs.
func isLarge(h *fuse.InHeader, msg []byte) bool {
	switch h.Opcode {
	case opRead:
		in, _ := arg[fuse.ReadIn](msg)
		return in != nil && in.Size >= followSize
	case opWrite:
		return len(msg) >= followSize
	}
	return false
}

// sample is told where the client was and goes there.
func (f *follower) sample(cpu int, now time.Time) {
	if !f.all.IsSet(cpu) {
		return
	}
	if f.last >= 0 {
		if cpu != f.last {
			f.moves += 2
		} else if f.moves > 0 {
			f.moves--
		}
	}
	same := cpu == f.last
	f.last = cpu
	if f.moves > 2*followMoves {
		f.giveUp(now)
		return
	}
	if f.follows() {
		waited := f.delay()
		if waited-f.waited > followWait*followEvery {
			f.giveUp(now)
			return
		}
		f.waited = waited
		if same { // else look again soon
			f.count = followEvery
		}
		if f.pause > 0 && f.moves == 0 {
			f.pause -= f.pause / 8
		}
	}
	if same && cpu != f.cpu {
		var one unix.CPUSet
		one.Set(cpu)
		if unix.SchedSetaffinity(0, &one) == nil {
			f.cpu, f.waited, f.count = cpu, f.delay(), followEvery
		}
	}
}

// delay is how long the thread has waited for a CPU in its life, in
// nanoseconds: the second number of schedstat (Documentation/scheduler/sched-stats.rst).
func (f *follower) delay() uint64 {
	var b [96]byte
	n, err := unix.Pread(f.schedstat, b[:], 0)
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b[:n])
	if len(fields) < 2 {
		return 0
	}
	d, _ := strconv.ParseUint(string(fields[1]), 10, 64)
	return d
}

package unionfs

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"
)

// A lookout finds out for the followers of a connection where clients run, on a
// thread of its own: the kernel takes locks of a process to tell, which the client
// may hold while it waits for an answer (in execve(2), or in a page fault on a
// mapped file). A worker that waited for them would wait for itself.
type lookout struct {
	questions chan question
	find      func(tid uint32) int // clientCPU, but for tests
}

type question struct {
	f   *follower
	tid uint32
}

func newLookout() *lookout {
	l := &lookout{questions: make(chan question, 1), find: clientCPU}
	go l.run()
	return l
}

func (l *lookout) run() {
	for q := range l.questions {
		if cpu := l.find(q.tid); cpu >= 0 {
			q.f.seen.Store(int32(cpu) + 1)
		}
	}
}

// ask has f.seen set, some time. While the lookout is busy nothing happens.
func (l *lookout) ask(f *follower, tid uint32) {
	select {
	case l.questions <- question{f, tid}:
	default:
	}
}

// stop ends the lookout, without waiting for it. Nobody may ask any more.
func (l *lookout) stop() { close(l.questions) }

// clientCPU is the CPU that a thread ran on last, or -1: field 39 of
// /proc/PID/stat (proc(5)).
func clientCPU(tid uint32) int {
	var path [32]byte
	name := append(strconv.AppendUint(append(path[:0], "/proc/"...), uint64(tid), 10), "/stat"...)
	fd, err := unix.Open(string(name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	defer unix.Close(fd)
	var b [1024]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return -1
	}
	return parseCPU(b[:n])
}

// parseCPU finds the field behind the program's name, which may hold anything.
func parseCPU(stat []byte) int {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return -1
	}
	const field = 39 - 3 // of those behind the name, from 0
	n := 0
	for f := range bytes.FieldsSeq(stat[i+1:]) {
		if n == field {
			cpu, err := strconv.Atoi(string(f))
			if err != nil {
				return -1
			}
			return cpu
		}
		n++
	}
	return -1
}

package unionfs

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"
)

// A lookout finds out for the followers of a connection where clients run. To tell,
// the kernel takes a lock of the process (exec_update_lock, fs/proc/array.c), which
// the client holds in a part of execve(2), when it closes files and maps others. A
// worker that waited for it before it answers would wait for itself, so for requests
// that may come from there the lookout has a thread of its own, and the worker hears
// of it with a later one. That is not as good: the thread takes the CPU that
// was idle, and when it sleeps the scheduler moves the client there.
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

// unlocked tells whether a request is sure to come from a system call that works on
// names or attributes: whoever is in one holds no lock of his process.
func unlocked(opcode uint32) bool {
	switch opcode {
	case opLookup, opSetattr, opSymlink, opMknod, opMkdir, opUnlink, opRmdir, opRename, opRename2, opLink,
		opReaddir, opReaddirplus, opStatfs, opTmpfile:
		return true
	}
	return false
}

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

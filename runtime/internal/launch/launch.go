// Package launch starts this program where Go's os package can't: in a user namespace that
// exists, which only a process of one thread may enter (setns(2)), and in a time namespace,
// which only a child gets (time_namespaces(7)).
//
//	we ── fork ─► child: setns …, unshare(time) ── clone(CLONE_PARENT) ─► the process, our child too
//	                     ends
//
// Invariant: between fork and execve there is nothing but system calls, as the child has
// one thread of a program that has many.
package launch

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Launch is a process of this program that is to be started. Descriptors are those of
// the caller, from [Above]; it keeps them.
type Launch struct {
	Exe         int      // the program
	Argv0       string   // its only argument, by which it knows what it is
	Env         []string // its environment
	Join        []int    // namespaces, or a pidfd, in order
	JoinFlags   []int    // what of each, CLONE_NEW*
	Flags       uintptr  // namespaces to make, CLONE_NEW*, but for the time's
	BecomeRoot  bool     // of the user namespace that was entered
	NewTime     bool
	TimeOffsets string // what is written to its timens_offsets (time_namespaces(7))
	Files       [4]int // descriptors 0 to 3 of the process
	DeathSignal bool   // it is killed when the thread that starts it ends
}

// steps say what a child was at when it failed.
var steps = [...]string{
	"", "fork", "join namespace", "make time namespace", "set time offsets", "clone", "become root of the user namespace",
	"pass on descriptors", "execute",
}

// A report is what a child says: the step that failed and why, or the process's id.
type report struct{ Step, Errno, PID int64 }

// Start returns once the process executes this program. The caller is locked to its thread.
func (l *Launch) Start() (*os.Process, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	defer unix.Close(pipe[0])
	said, err := Above(pipe[1])
	unix.Close(pipe[1])
	if err != nil {
		return nil, err
	}
	offsetsPath, err := unix.BytePtrFromString("/proc/self/timens_offsets")
	if err != nil {
		return nil, err
	}
	argv0, err := unix.BytePtrFromString(l.Argv0)
	if err != nil {
		return nil, err
	}
	envp, err := syscall.SlicePtrFromStrings(l.Env)
	if err != nil {
		return nil, err
	}
	a := &arguments{
		Launch: l, report: said, offsetsPath: offsetsPath, offsets: []byte(l.TimeOffsets),
		argv: [2]*byte{argv0}, envp: envp, empty: new(byte),
	}
	syscall.ForkLock.Lock()
	child, errno := a.fork()
	syscall.ForkLock.Unlock()
	unix.Close(said)
	if errno != 0 {
		return nil, fmt.Errorf("fork: %w", errno)
	}
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(int(child), &status, 0, nil); err != unix.EINTR {
			break
		}
	}
	pid := int64(0)
	for {
		var r report
		n, err := unix.Read(pipe[0], unsafe.Slice((*byte)(unsafe.Pointer(&r)), unsafe.Sizeof(r)))
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			break
		}
		if r.PID != 0 {
			pid = r.PID
			continue
		}
		if pid != 0 { // it has ended, or is about to
			_, _ = unix.Wait4(int(pid), nil, 0, nil)
		}
		return nil, fmt.Errorf("%s: %w", steps[r.Step], syscall.Errno(r.Errno))
	}
	if pid == 0 {
		return nil, fmt.Errorf("the process that joins namespaces ended early: %v", status)
	}
	return os.FindProcess(int(pid))
}

// Above is a copy of a descriptor that no dup onto the process's first ones overwrites. It
// is closed by an execution.
func Above(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 10) }

// arguments are what a child needs, made before there is one: it may neither allocate nor lock.
type arguments struct {
	*Launch
	report      int
	offsetsPath *byte
	offsets     []byte
	argv        [2]*byte
	envp        []*byte // ends with nil
	empty       *byte
}

// fork makes the child, which never returns from here. Its memory is a copy of ours with one
// thread left, so nothing but system calls may be done: no allocation, no stack growth, no
// call that the scheduler could interrupt.
//
//go:norace
//go:nosplit
func (a *arguments) fork() (pid uintptr, errno syscall.Errno) {
	var (
		all, old uint64 = ^uint64(0), 0
		r        report
		e        syscall.Errno
		fd       uintptr
		self     uintptr
	)
	// A handler of Go's in the child would find none of the threads that it needs.
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if pid != 0 || errno != 0 {
		syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&old)), 0, 8, 0, 0)
		return pid, errno
	}

	for n := 0; n < len(a.Join); n++ {
		r.Step = 2
		if _, _, e = syscall.RawSyscall(unix.SYS_SETNS, uintptr(a.Join[n]), uintptr(a.JoinFlags[n]), 0); e != 0 {
			goto failed
		}
	}
	if a.NewTime {
		r.Step = 3
		if _, _, e = syscall.RawSyscall(unix.SYS_UNSHARE, unix.CLONE_NEWTIME, 0, 0); e != 0 {
			goto failed
		}
	}
	if len(a.offsets) > 0 {
		r.Step = 4
		at := unix.AT_FDCWD
		fd, _, e = syscall.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(a.offsetsPath)), unix.O_WRONLY|unix.O_CLOEXEC, 0, 0, 0)
		if e != 0 {
			goto failed
		}
		if _, _, e = syscall.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&a.offsets[0])), uintptr(len(a.offsets))); e != 0 {
			goto failed
		}
	}
	r.Step = 5
	self, _, e = syscall.RawSyscall6(unix.SYS_CLONE, unix.CLONE_PARENT|uintptr(unix.SIGCHLD)|a.Flags, 0, 0, 0, 0, 0)
	if e != 0 {
		goto failed
	}
	if self != 0 { // the child: the new process has its process id here, and our parent
		r = report{PID: int64(self)}
		syscall.RawSyscall(unix.SYS_WRITE, uintptr(a.report), uintptr(unsafe.Pointer(&r)), unsafe.Sizeof(r))
		for {
			syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}

	if a.BecomeRoot {
		r.Step = 6
		if _, _, e = syscall.RawSyscall(unix.SYS_SETRESGID, 0, 0, 0); e != 0 {
			goto failed
		}
		if _, _, e = syscall.RawSyscall(unix.SYS_SETRESUID, 0, 0, 0); e != 0 {
			goto failed
		}
	}
	if a.DeathSignal {
		syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
	}
	r.Step = 7
	for n := 0; n < len(a.Files); n++ { // Above: none is overwritten
		if _, _, e = syscall.RawSyscall(unix.SYS_DUP3, uintptr(a.Files[n]), uintptr(n), 0); e != 0 {
			goto failed
		}
	}
	r.Step = 8
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&old)), 0, 8, 0, 0)
	_, _, e = syscall.RawSyscall6(unix.SYS_EXECVEAT, uintptr(a.Exe), uintptr(unsafe.Pointer(a.empty)),
		uintptr(unsafe.Pointer(&a.argv[0])), uintptr(unsafe.Pointer(&a.envp[0])), unix.AT_EMPTY_PATH, 0)
failed:
	r.Errno = int64(e)
	syscall.RawSyscall(unix.SYS_WRITE, uintptr(a.report), uintptr(unsafe.Pointer(&r)), unsafe.Sizeof(r))
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 1, 0, 0)
	}
}

package runtime

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A launch starts init where Go's os package can't: in a user namespace that exists,
// which only a process of one thread may enter (setns(2)), and in a time namespace, which only
// a child gets (time_namespaces(7)).
//
//	we ── fork ─► child: setns …, unshare(time) ── clone(CLONE_PARENT) ─► init, our child too
//	                     ends
type launch struct {
	exe         int   // the program, by descriptor
	join        []int // descriptors of namespaces, or a pidfd, in order
	joinFlags   []int // what of each
	flags       uintptr
	becomeRoot  bool // of the user namespace that was entered
	newTime     bool
	timeOffsets string
	files       [4]int // descriptors 0 to 3 of init
	deathSignal bool
}

// launchSteps say what a child was at when it failed.
var launchSteps = [...]string{
	"", "fork", "join namespace", "make time namespace", "set time offsets", "clone", "become root of the user namespace",
	"pass on descriptors", "execute",
}

// launchReport is what a child says: the step that failed and why, or init's process id.
type launchReport struct{ Step, Errno, PID int64 }

// start returns once init executes this program. The caller is locked to its thread.
func (l *launch) start() (*os.Process, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	defer unix.Close(pipe[0])
	report, err := aboveFiles(pipe[1])
	unix.Close(pipe[1])
	if err != nil {
		return nil, err
	}
	offsetsPath, err := unix.BytePtrFromString("/proc/self/timens_offsets")
	if err != nil {
		return nil, err
	}
	argv0, err := unix.BytePtrFromString(initStage)
	if err != nil {
		return nil, err
	}
	a := &launchArgs{
		launch: l, report: report, offsetsPath: offsetsPath, offsets: []byte(l.timeOffsets),
		argv: [2]*byte{argv0}, empty: new(byte),
	}
	syscall.ForkLock.Lock()
	child, errno := a.fork()
	syscall.ForkLock.Unlock()
	unix.Close(report)
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
		var r launchReport
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
		return nil, fmt.Errorf("%s: %w", launchSteps[r.Step], syscall.Errno(r.Errno))
	}
	if pid == 0 {
		return nil, fmt.Errorf("the process that joins namespaces ended early: %v", status)
	}
	return os.FindProcess(int(pid))
}

// aboveFiles is a copy of a descriptor that no dup onto init's first ones overwrites.
func aboveFiles(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 10) }

// launchArgs are what a child needs, made before there is one: it may neither allocate nor lock.
type launchArgs struct {
	*launch
	report      int
	offsetsPath *byte
	offsets     []byte
	argv        [2]*byte
	envp        [1]*byte
	empty       *byte
}

// fork makes the child, which never returns from here. Its memory is a copy of ours with one
// thread left, so nothing but system calls may be done: no allocation, no stack growth, no
// call that the scheduler could interrupt.
//
//go:norace
//go:nosplit
func (a *launchArgs) fork() (pid uintptr, errno syscall.Errno) {
	var (
		all, old uint64 = ^uint64(0), 0
		r        launchReport
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

	for n := 0; n < len(a.join); n++ {
		r.Step = 2
		if _, _, e = syscall.RawSyscall(unix.SYS_SETNS, uintptr(a.join[n]), uintptr(a.joinFlags[n]), 0); e != 0 {
			goto failed
		}
	}
	if a.newTime {
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
	self, _, e = syscall.RawSyscall6(unix.SYS_CLONE, unix.CLONE_PARENT|uintptr(unix.SIGCHLD)|a.flags, 0, 0, 0, 0, 0)
	if e != 0 {
		goto failed
	}
	if self != 0 { // the child: the new process has its process id here, and our parent
		r = launchReport{PID: int64(self)}
		syscall.RawSyscall(unix.SYS_WRITE, uintptr(a.report), uintptr(unsafe.Pointer(&r)), unsafe.Sizeof(r))
		for {
			syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}

	if a.becomeRoot {
		r.Step = 6
		if _, _, e = syscall.RawSyscall(unix.SYS_SETRESGID, 0, 0, 0); e != 0 {
			goto failed
		}
		if _, _, e = syscall.RawSyscall(unix.SYS_SETRESUID, 0, 0, 0); e != 0 {
			goto failed
		}
	}
	if a.deathSignal {
		syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
	}
	r.Step = 7
	for n := 0; n < len(a.files); n++ { // aboveFiles: none is overwritten
		if _, _, e = syscall.RawSyscall(unix.SYS_DUP3, uintptr(a.files[n]), uintptr(n), 0); e != 0 {
			goto failed
		}
	}
	r.Step = 8
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&old)), 0, 8, 0, 0)
	_, _, e = syscall.RawSyscall6(unix.SYS_EXECVEAT, uintptr(a.exe), uintptr(unsafe.Pointer(a.empty)),
		uintptr(unsafe.Pointer(&a.argv[0])), uintptr(unsafe.Pointer(&a.envp[0])), unix.AT_EMPTY_PATH, 0)
failed:
	r.Errno = int64(e)
	syscall.RawSyscall(unix.SYS_WRITE, uintptr(a.report), uintptr(unsafe.Pointer(&r)), unsafe.Sizeof(r))
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 1, 0, 0)
	}
}

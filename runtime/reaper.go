package runtime

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/resident"
)

// reap stays PID 1 with the command as its child, and returns the command's
// status. Every other process of the pid namespace ends when init then exits.
func (i *initProc) reap(path string) (int, error) {
	sigs := make(chan os.Signal, 64)
	signal.Notify(sigs, forwardedByInit()...)

	resetLibrarySignals()
	sys := &syscall.SysProcAttr{Setsid: true}
	files := []uintptr{0, 1, 2}
	if i.console >= 0 {
		fd := uintptr(i.console)
		files = []uintptr{fd, fd, fd}
		sys.Setctty = true // Ctty 0: the descriptor in the child
	}
	args := i.config.Args
	child, err := syscall.ForkExec(path, args, &syscall.ProcAttr{Env: i.config.Env, Files: files, Sys: sys})
	if err != nil {
		return 0, execError(args[0], err)
	}
	// From here on the supervisor takes the command as running, and what the
	// command closes must be closed for good: a pipe's reader waits for all writers.
	for fd := range 3 {
		unix.Dup3(i.null, fd, 0)
	}
	unix.Close(i.null)
	if i.console >= 0 {
		unix.Close(i.console)
	}
	for _, fd := range i.fds {
		unix.Close(fd)
	}
	unix.Close(i.sock.fd)
	// There is next to no garbage: init has left before most of the program was prepared.
	time.AfterFunc(resident.SettleAfter, resident.ForgetProgram)

	var mu sync.Mutex // held while child may be signalled, and while it is reaped
	gone := false
	go func() {
		for s := range sigs {
			mu.Lock()
			if !gone {
				unix.Kill(child, s.(unix.Signal))
			}
			mu.Unlock()
		}
	}()
	// This thread, which started the command, is confined by its filter; others are not.
	var status syscall.WaitStatus
	ended := make(chan error)
	go func() {
		var err error
		for err == nil && !gone {
			var pid int
			mu.Lock()
			pid, status, err = reapOne(&mu)
			gone = pid == child && (status.Exited() || status.Signaled())
			mu.Unlock()
		}
		ended <- err
	}()
	if err := <-ended; err != nil {
		return 0, fmt.Errorf("wait: %w", err)
	}
	return waitStatus(status), nil
}

// reapOne waits until a process has ended and reaps one, with mu held but for
// the waiting.
func reapOne(mu *sync.Mutex) (pid int, status syscall.WaitStatus, err error) {
	var info unix.Siginfo
	mu.Unlock()
	// WNOWAIT: know that there is one before its process id is free for reuse.
	err = waitid(&info)
	mu.Lock()
	if err != nil {
		return 0, 0, err
	}
	var st unix.WaitStatus
	pid, err = unix.Wait4(-1, &st, unix.WNOHANG|unix.WALL, nil)
	if err == unix.EINTR {
		return 0, 0, nil
	}
	return pid, syscall.WaitStatus(st), err
}

func waitid(info *unix.Siginfo) error {
	for {
		err := unix.Waitid(unix.P_ALL, 0, info, unix.WEXITED|unix.WNOWAIT|unix.WALL, nil)
		if err != unix.EINTR {
			return err
		}
	}
}

// forwardedByInit are the signals that a PID 1 of ours hands to the command: all
// but those that can't be caught, that are about init itself, or that Go uses. They
// are caught before the command starts: what PID 1 doesn't catch the kernel drops
// (pid_namespaces(7)).
func forwardedByInit() (all []os.Signal) {
	for n := unix.Signal(1); n < 65; n++ {
		switch n {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGPIPE, unix.SIGURG,
			unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS,
			unix.SIGPROF, unix.SIGVTALRM, 32, 33, 34:
		default:
			all = append(all, n)
		}
	}
	return all
}

package runtime

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A forwarder passes signals on to the container's process.
type forwarder struct {
	init     *Init
	terminal *terminal
	emulates bool // the command is PID 1
	// emulated is the signal whose default action was done by SIGKILL.
	emulated atomic.Int32
}

func (f *forwarder) forward(signals <-chan os.Signal) {
	for {
		select {
		case <-f.init.done:
			return
		case s, ok := <-signals:
			if !ok {
				return
			}
			if n, ok := s.(unix.Signal); ok {
				f.send(n)
			}
		}
	}
}

// send delivers n. To a PID 1 the kernel delivers nothing that it has left at its
// default action (pid_namespaces(7)), so what that action would have been is done
// to it from here: the process ends as it would outside.
func (f *forwarder) send(n unix.Signal) {
	if n == unix.SIGWINCH {
		f.terminal.resize()
		return
	}
	if f.emulates && defaulted(f.init.Pid(), n) {
		switch n {
		case unix.SIGCHLD, unix.SIGCONT, unix.SIGURG:
			return
		case unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
			n = unix.SIGSTOP
		case unix.SIGKILL, unix.SIGSTOP:
		default:
			f.emulated.Store(int32(n))
			n = unix.SIGKILL
		}
	}
	// ErrProcessDone is the only failure there is left, and no news.
	f.init.process.Signal(n)
}

// status is the exit status given that of PID 1.
func (f *forwarder) status(s int) int {
	if n := f.emulated.Load(); n != 0 && s == 128+int(unix.SIGKILL) {
		return 128 + int(n)
	}
	return s
}

// defaulted tells whether a process neither catches nor ignores n, nor blocks it
// (to take it by signalfd or sigwait).
func defaulted(pid int, n unix.Signal) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	return !handled(string(b), n)
}

func handled(status string, n unix.Signal) bool {
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "SigBlk", "SigIgn", "SigCgt":
			mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			if err == nil && mask&(1<<(n-1)) != 0 {
				return true
			}
		}
	}
	return false
}

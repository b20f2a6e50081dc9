// Package deathsig starts programs that must not outlive this process, however it ends.
package deathsig

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Start starts cmd, and has the kernel kill it when this process ends. Who calls it waits
// for it, as after [exec.Cmd.Start].
//
// The kernel takes the end of the thread that made the child for its parent's
// (PR_SET_PDEATHSIG(2const)), and Go's threads end: internal/lostthread sees to that. So
// that one is kept for as long as the child lives.
func Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err != nil {
			started <- err
			return
		}
		pid := cmd.Process.Pid
		started <- nil
		// WNOWAIT leaves it to be waited for; once it was, there is no such child.
		for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	return <-started
}

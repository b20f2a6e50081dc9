package runtime

import (
	"context"
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime/stage"
)

// ErrNotRunning is returned where a container's process is gone.
var ErrNotRunning = errors.New("container is not running")

// Exec runs one more process in a running container and returns its exit status, as
// [Run] does. pid is the container's first process as the caller sees it; spec the container's configuration, but for Process, which is what is to
// run: of the rest only the seccomp profile and the kinds of namespaces matter. Of the
// options Init, MakeCwd and Prestarted are not used. With Detach it returns once the process
// runs, which then goes on without the caller. How it ended is for the caller to collect
// by wait4(2), or, once the caller has ended, for who gets its children.
//
// When ctx is done the process is killed, but what it has started may live on, until
// the container ends.
func Exec(ctx context.Context, pid int, spec *specs.Spec, o Options) (int, error) {
	status, err := enter(ctx, pid, spec, o)
	if err != nil {
		return ExitStatus(err), err
	}
	return status, nil
}

func enter(ctx context.Context, pid int, spec *specs.Spec, o Options) (int, error) {
	if err := validate(spec); err != nil {
		return 0, err
	}
	n, err := planNamespaces(spec.Linux)
	if err != nil {
		return 0, err
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	defer unix.Close(pidfd)
	if o.Detach && spec.Process.Terminal && o.Console == nil {
		return 0, invalid("a terminal needs somebody who takes its other side")
	}
	o.Init, o.MakeCwd = false, false
	s := new(setup)
	defer s.close()
	flags := n.others()
	if sameNamespace(fmt.Sprintf("/proc/%d/ns/user", pid), "/proc/self/ns/user") {
		flags &^= unix.CLONE_NEWUSER
	}
	own, err := unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	s.config.Root, s.config.Enter = s.sendFD(own), true
	if err := s.planProcess(spec, n, o); err != nil {
		return 0, err
	}
	initial, final, err := planAffinity(spec.Process.ExecCPUAffinity)
	if err != nil {
		return 0, err
	}
	s.config.Priorities.CPUs = final
	i, err := (&Init{join: &joinProcess{pidfd, flags}, outlives: o.Detach, cpus: initial}).launch(spec, o.Stdio)
	if err != nil {
		return 0, err
	}
	if !o.Detach {
		defer i.Kill()
		return i.execute(ctx, s, Bundle{Spec: spec}, o)
	}
	if err := i.begin(ctx, s, Bundle{Spec: spec}, o, newTerminal(stage.Stdio{})); err != nil {
		i.Kill()
		return 0, err
	}
	return 0, nil
}

// A joinProcess is a process, by descriptor, of which some namespaces are joined.
type joinProcess struct {
	pidfd int
	flags int // CLONE_NEW*
}

// others are the namespaces that a container has of its own, but for the mounts', as
// what is started must still be found in the asker's.
func (n namespaces) others() (flags int) {
	const all = unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS |
		unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME
	flags = int(n.flags)
	if n.time {
		flags |= unix.CLONE_NEWTIME
	}
	if n.cgroup {
		flags |= unix.CLONE_NEWCGROUP
	}
	for _, j := range n.join {
		flags |= j.flag
	}
	return flags & all
}

// enter makes the calling thread, and what it starts, a member of the namespaces.
// The thread is good for nothing else afterwards.
func (j joinProcess) enter() error {
	err := unix.Setns(j.pidfd, j.flags)
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	if err != nil {
		return fmt.Errorf("join the container's namespaces: %w", err)
	}
	return nil
}

// enter is setup for a process more in a container: it joins the mounts, and becomes
// what it is to be.
func (i *initProc) enter() error {
	c := &i.config
	if err := setOOMScore(c.OOMScoreAdj); err != nil {
		return err
	}
	if err := joinMounts(i.fds[c.Root]); err != nil {
		return err
	}
	if c.Terminal {
		fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open terminal: %w", err)
		}
		defer unix.Close(fd)
		if err := i.openConsole(rootDir{fd: fd}); err != nil {
			return fmt.Errorf("open terminal: %w", err)
		}
	}
	if err := setRlimits(c.Rlimits); err != nil {
		return err
	}
	return i.become()
}

// joinMounts enters a mount namespace, by its file or a pidfd of a process in it.
func joinMounts(fd int) error {
	// The mount namespace is a thread's if its directories are not shared.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare directories: %w", err)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("join mount namespace: %w", err)
	}
	return nil
}

package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/lostthread"
	"github.com/cfs-project/cfs/runtime/internal/launch"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// An Init is a container's first process, in its namespaces, waiting to be told what
// to do. The zero value isn't usable.
type Init struct {
	namespaces namespaces
	join       *joinProcess // a container that is entered; nil for one that is made
	sock       socket       // our end
	process    *os.Process
	done       chan struct{} // closed once the process has ended, and is reaped unless it outlives
	reaped     sync.Once
	state      syscall.WaitStatus
	closed     sync.Once
	outlives   bool         // nobody's death is its end: it waits to be started
	cpus       []uint64     // those that it begins on; nil: the caller's
	seccomp    *compilation // of the specification that it was started for, or nil
}

// Prestart starts the container's first process before the root is there: it comes
// up while the caller mounts the root. Run takes it over by Options.Prestarted; a caller
// that never gets so far calls [Init.Kill].
func Prestart(spec *specs.Spec, stdio stage.Stdio) (*Init, error) {
	n, err := planOwned(spec.Linux)
	if err != nil {
		return nil, err
	}
	return (&Init{namespaces: n, seccomp: beginSeccomp(spec.Linux)}).launch(spec, stdio)
}

// planOwned is planNamespaces for what is supervised: that nothing is left when Run has
// returned only pid and mount namespaces of its own can keep.
func planOwned(l *specs.Linux) (namespaces, error) {
	n, err := planNamespaces(l)
	if err == nil && !n.ownsPids() {
		err = unsupported("linux.namespaces without a new pid namespace")
	}
	if err == nil && n.flags&unix.CLONE_NEWNS == 0 {
		err = unsupported("linux.namespaces without a new mount namespace")
	}
	return n, err
}

// launch starts an init in its namespaces, and in those of the process to join.
func (i *Init) launch(spec *specs.Spec, stdio stage.Stdio) (*Init, error) {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("start init: %w", err)
	}
	defer null.Close()
	files := []*os.File{stdio.In, stdio.Out, stdio.Err}
	if spec.Process != nil && spec.Process.Terminal {
		files = []*os.File{nil, nil, stdio.Err} // until init has its terminal, errors of ours
	}
	for i, f := range files {
		if f == nil {
			files[i] = null
		}
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start init: socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "init")
	defer theirs.Close()
	i.sock, i.done = socket{pair[0]}, make(chan struct{})
	if err := i.start(append(files, theirs)); err != nil {
		unix.Close(i.sock.fd)
		return nil, fmt.Errorf("start init: %w", err)
	}
	return i, nil
}

// start clones and executes. The kernel kills init when the thread that started it
// ends, so that thread is kept for as long as init lives, and then given up, as it
// may have joined namespaces.
func (i *Init) start(files []*os.File) error {
	exe, closeExe := executable(files)
	defer closeExe()
	attr := &os.ProcAttr{
		Dir:   "/",
		Env:   initEnv(),
		Files: files,
		Sys: &syscall.SysProcAttr{
			Cloneflags:  i.namespaces.flags,
			UidMappings: i.namespaces.uids, GidMappings: i.namespaces.gids,
			GidMappingsEnableSetgroups: true,
			Pdeathsig:                  unix.SIGKILL,
		},
	}
	if i.outlives {
		attr.Sys.Pdeathsig = 0
	}
	if !userns.MaySetGroups() {
		attr.Sys.GidMappingsEnableSetgroups = false // the kernel's condition for writing a gid map without privilege
	}
	if i.join != nil {
		// Its parent has no process id where it will be, which Go's os package takes
		// for that parent's death. Init sets the signal itself, and ends if the socket does.
		attr.Sys.Pdeathsig = 0
	}
	if i.namespaces.flags&unix.CLONE_NEWUSER != 0 {
		attr.Sys.Credential = &syscall.Credential{}
	}
	started := make(chan error)
	lostthread.Go(func() {
		err := setAffinity(i.cpus)
		if err == nil && i.needsLaunch() {
			i.process, err = i.launchAlone(files)
		} else if err == nil {
			err = i.namespaces.enter()
			if err == nil && i.join != nil {
				err = i.join.enter()
			}
			if err == nil {
				i.process, err = os.StartProcess(exe, []string{initStage}, attr)
			}
		}
		started <- err
		if err != nil {
			return
		}
		if i.outlives {
			i.awaitEnd()
		} else {
			i.reap()
		}
		close(i.done)
	})
	return <-started
}

// initEnv is init's environment, of which the command gets nothing. Init does one thing after
// the other: with one processor Go starts fewer threads, and whatever all of them have to do,
// such as giving up capabilities, takes less.
func initEnv() []string { return []string{"GOMAXPROCS=1"} }

// reap collects how the process ended, once it has.
func (i *Init) reap() {
	i.reaped.Do(func() {
		if st, err := i.process.Wait(); err == nil {
			i.state, _ = st.Sys().(syscall.WaitStatus)
		}
	})
}

// awaitEnd waits until the process has ended, and leaves its status to whoever is its
// parent when we have gone: a shim that never got it would wait for ever.
func (i *Init) awaitEnd() {
	for unix.Waitid(unix.P_PID, i.process.Pid, new(unix.Siginfo), unix.WEXITED|unix.WNOWAIT|unix.WALL, nil) == unix.EINTR {
	}
}

// needsLaunch tells whether a process of one thread has to enter the namespaces.
func (i *Init) needsLaunch() bool {
	const alone = unix.CLONE_NEWUSER | unix.CLONE_NEWTIME
	return i.namespaces.time || i.namespaces.joins(unix.CLONE_NEWUSER) || i.namespaces.joins(unix.CLONE_NEWTIME) ||
		i.join != nil && i.join.flags&alone != 0
}

// launchAlone starts init by a launch.
func (i *Init) launchAlone(files []*os.File) (*os.Process, error) {
	if i.namespaces.flags&unix.CLONE_NEWUSER != 0 {
		return nil, unsupported("linux.namespaces time or a joined one with a new user namespace")
	}
	var owned []int
	defer func() {
		for _, fd := range owned {
			unix.Close(fd)
		}
	}()
	above := func(fd int) (int, error) {
		fd, err := launch.Above(fd)
		if err == nil {
			owned = append(owned, fd)
		}
		return fd, err
	}
	l := launch.Launch{
		Argv0: initStage, Env: initEnv(),
		Flags: i.namespaces.flags, NewTime: i.namespaces.time, TimeOffsets: i.namespaces.timeOffsets,
		BecomeRoot:  i.namespaces.joins(unix.CLONE_NEWUSER),
		DeathSignal: !i.outlives && i.join == nil,
	}
	path, done := executable(files)
	defer done()
	self, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	l.Exe, err = above(self)
	unix.Close(self)
	if err != nil {
		return nil, err
	}
	for n, f := range files {
		if l.Files[n], err = above(int(f.Fd())); err != nil {
			return nil, err
		}
	}
	for _, j := range i.namespaces.join {
		fd, err := unix.Open(j.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("join namespace %s: %w", j.path, err)
		}
		owned = append(owned, fd)
		l.Join, l.JoinFlags = append(l.Join, fd), append(l.JoinFlags, j.flag)
	}
	if i.join != nil {
		l.Join, l.JoinFlags = append(l.Join, i.join.pidfd), append(l.JoinFlags, i.join.flags)
		l.BecomeRoot = l.BecomeRoot || i.join.flags&unix.CLONE_NEWUSER != 0
	}
	return l.Start()
}

// executable is a path of this program for the next exec: a read-only mount of it, so
// that no process in the container can overwrite the file by way of /proc/PID/exe
// (CVE-2019-5736). Where such a mount can't be made it is the file itself, which then
// only its permissions and undumpable processes protect.
//
// Go's child moves descriptors to numbers above those of the files that it is given, before it
// executes the path: the mount's descriptor is above these, too.
func executable(files []*os.File) (path string, done func()) {
	const self = "/proc/self/exe"
	name, err := os.Readlink(self)
	if err != nil {
		return self, func() {}
	}
	fd, _, err := cloneTree(name, false)
	if err != nil {
		return self, func() {}
	}
	var want, have unix.Stat_t
	ro := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if unix.Stat(self, &want) != nil || unix.Fstat(fd, &have) != nil ||
		want.Dev != have.Dev || want.Ino != have.Ino ||
		unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &ro) != nil {
		unix.Close(fd)
		return self, func() {}
	}
	above := 0
	for _, f := range files {
		above = max(above, int(f.Fd()))
	}
	moved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, above+len(files)+2) // each of them, and a pipe
	unix.Close(fd)
	if err != nil {
		return self, func() {}
	}
	return fmt.Sprintf("/proc/self/fd/%d", moved), func() { unix.Close(moved) }
}

// Pid is the process id as the caller sees it.
func (i *Init) Pid() int { return i.process.Pid }

// Kill kills every process of the container and waits for their end. It may be
// called again, but not while Run is running.
func (i *Init) Kill() {
	i.signalKill()
	i.wait()
	i.closed.Do(func() { unix.Close(i.sock.fd) })
}

// signalKill begins the end. The socket stays, as somebody may be reading from it.
func (i *Init) signalKill() { i.process.Signal(unix.SIGKILL) }

// wait waits for the end of PID 1, and with it of the pid namespace, and returns
// its exit status.
func (i *Init) wait() int {
	<-i.done
	i.reap()
	return waitStatus(i.state)
}

func waitStatus(st syscall.WaitStatus) int {
	if st.Signaled() {
		return 128 + int(st.Signal())
	}
	return st.ExitStatus()
}

// awaitExec reads what init has to say until the command was executed: the master of
// the terminal (-1 without one) and nil, or why it failed.
func (i *Init) awaitExec(warn func(string), listener func(fd int) error) (master int, err error) {
	master = -1
	ready := false
	for {
		kind, body, fds, err := i.sock.receive()
		switch {
		case errors.Is(err, io.EOF) && ready:
			return master, nil
		case err != nil:
			return master, fmt.Errorf("init ended before the command was executed: %w", err)
		}
		switch kind {
		case msgConsole:
			if len(fds) == 1 && master < 0 {
				master = fds[0]
				continue
			}
		case msgWarning:
			warn(string(body))
			continue
		case msgReady:
			ready = true
			continue
		case msgListener:
			if err := i.listener(body, listener); err != nil {
				return master, err
			}
			continue
		case msgError:
			var e initError
			if err := json.Unmarshal(body, &e); err != nil {
				return master, fmt.Errorf("read init's error: %w", err)
			}
			return master, e
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
		return master, fmt.Errorf("unexpected message %q from init", kind)
	}
}

// failed explains a failure before the command ran.
func (i *Init) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (n namespaces) equal(m namespaces) bool {
	return n.flags == m.flags && n.cgroup == m.cgroup && n.time == m.time && n.timeOffsets == m.timeOffsets && slices.Equal(n.join, m.join) && slices.Equal(n.uids, m.uids) && slices.Equal(n.gids, m.gids)
}

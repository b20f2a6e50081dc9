package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	goruntime "runtime"
	"slices"
	"sync"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime/stage"
)

// An Init is a container's first process, in its namespaces, waiting to be told what
// to do. The zero value isn't usable.
type Init struct {
	namespaces namespaces
	join       *joinProcess // a container that is entered; nil for one that is made
	sock       socket       // our end
	process    *os.Process
	done       chan struct{} // closed once the process is reaped
	state      syscall.WaitStatus
	closed     sync.Once
}

// Prestart starts the container's first process before the root is there: it comes
// up while the caller mounts the root. Run takes it over by Options.Prestarted; a caller
// that never gets so far calls [Init.Kill].
func Prestart(spec *specs.Spec, stdio stage.Stdio) (*Init, error) {
	n, err := planNamespaces(spec.Linux)
	if err != nil {
		return nil, err
	}
	return startInit(n, nil, spec, stdio)
}

// startInit starts an init in namespaces n, and in those of a process, if one is given.
func startInit(n namespaces, join *joinProcess, spec *specs.Spec, stdio stage.Stdio) (*Init, error) {
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
	i := &Init{namespaces: n, join: join, sock: socket{pair[0]}, done: make(chan struct{})}
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
	exe, closeExe := executable()
	defer closeExe()
	attr := &os.ProcAttr{
		Dir:   "/",
		Env:   []string{},
		Files: files,
		Sys: &syscall.SysProcAttr{
			Cloneflags:  i.namespaces.flags,
			UidMappings: i.namespaces.uids, GidMappings: i.namespaces.gids,
			GidMappingsEnableSetgroups: true,
			Pdeathsig:                  unix.SIGKILL,
		},
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
	go func() {
		goruntime.LockOSThread() // never unlocked: the thread ends with this function
		err := i.namespaces.enter()
		if err == nil && i.join != nil {
			err = i.join.enter()
		}
		if err == nil {
			i.process, err = os.StartProcess(exe, []string{initStage}, attr)
		}
		started <- err
		if err != nil {
			return
		}
		if st, err := i.process.Wait(); err == nil {
			i.state, _ = st.Sys().(syscall.WaitStatus)
		}
		close(i.done)
	}()
	return <-started
}

// executable is a path of this program for the next exec: a read-only mount of it, so
// that no process in the container can overwrite the file by way of /proc/PID/exe
// (CVE-2019-5736). Where such a mount can't be made it is the file itself, which then
// only its permissions and undumpable processes protect.
func executable() (path string, done func()) {
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
	return fmt.Sprintf("/proc/self/fd/%d", fd), func() { unix.Close(fd) }
}

// Pid is the process id as the caller sees it.
func (i *Init) Pid() int { return i.process.Pid }

// Kill kills every process of the container and waits for their end. It may be
// called again, but not while Run is running.
func (i *Init) Kill() {
	i.signalKill()
	<-i.done
	i.closed.Do(func() { unix.Close(i.sock.fd) })
}

// signalKill begins the end. The socket stays, as somebody may be reading from it.
func (i *Init) signalKill() { i.process.Signal(unix.SIGKILL) }

// wait waits for the end of PID 1, and with it of the pid namespace, and returns
// its exit status.
func (i *Init) wait() int {
	<-i.done
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
	return n.flags == m.flags && slices.Equal(n.join, m.join) && slices.Equal(n.uids, m.uids) && slices.Equal(n.gids, m.gids)
}

package stage

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/cfs-project/cfs/runtime/userns"
)

// Stdio is what a stage gets as descriptors 0, 1 and 2. A nil file is /dev/null.
type Stdio struct{ In, Out, Err *os.File }

// A Process is a stage, seen from the process that started it.
type Process struct {
	name    string
	process *os.Process
	link    *os.File // owned; closing it (or dying) tells the stage that P is gone

	tty  int         // the stage's standard input
	mode *term.State // what its mode was at Start; nil if it is no terminal

	signals chan os.Signal // what P has been sent
}

// Prepare is for who will start a process in a moment: in the background it does what a
// program's first start has to wait for. (Package os tries by a child that ends at once whether
// the kernel knows all of pidfds.)
func Prepare() {
	go func() {
		if p, err := os.FindProcess(os.Getpid()); err == nil {
			_ = p.Release()
		}
	}()
}

// Start starts the stage called name in the namespaces of m. When the stage begins
// its work, every signal that [Process.Attend] passes on is caught. The error wraps
// [userns.ErrForbidden] where the host doesn't allow them.
func Start(m userns.Mapping, name string, payload []byte, io Stdio) (*Process, error) {
	ours, theirs, err := newPair()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer theirs.Close()

	cmd := &exec.Cmd{
		Path:        "/proc/self/exe",
		Args:        []string{name},
		ExtraFiles:  []*os.File{theirs}, // linkFD
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	// An *os.File in an interface, but never a nil one.
	if io.In != nil {
		cmd.Stdin = io.In
	}
	if io.Out != nil {
		cmd.Stdout = io.Out
	}
	if io.Err != nil {
		cmd.Stderr = io.Err
	}
	return begun(name, ours, payload, io, func() (*os.Process, error) {
		err := m.Start(cmd)
		return cmd.Process, err
	})
}

// newPair is both ends of a link.
func newPair() (ours, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(pair[0]), "link"), os.NewFile(uintptr(pair[1]), "link"), nil
}

// begun starts a stage by start and sends it its payload.
func begun(name string, ours *os.File, payload []byte, io Stdio, start func() (*os.Process, error)) (*Process, error) {
	p := &Process{name: name, link: ours, signals: make(chan os.Signal, 64)}
	caught := make(chan struct{})
	go func() { // takes tens of microseconds a signal, and meanwhile the process starts
		defer close(caught)
		signal.Notify(p.signals, Forwardable()...)
	}()
	if io.In != nil {
		p.tty = int(io.In.Fd())
		p.mode, _ = term.GetState(p.tty)
	}
	var err error
	p.process, err = start()
	<-caught
	if err != nil {
		signal.Stop(p.signals)
		ours.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := writeFrame(ours, framePayload, payload); err != nil {
		p.Kill()
		p.Wait()
		return nil, fmt.Errorf("start %s: send payload: %w", name, err)
	}
	return p, nil
}

// Signal passes a signal on to the stage's [Link.Signals]. It is no error if the
// stage has ended.
func (p *Process) Signal(s syscall.Signal) {
	writeFrame(p.link, frameSignal, []byte{byte(s)})
}

// Kill ends the stage without giving it a chance to clean up.
func (p *Process) Kill() { p.process.Kill() }

// Detach waits until the stage is ready and lets it go on without this process. A
// stage that ended before is not detached; the rest is that of [Process.Wait].
func (p *Process) Detach() (detached bool, status int, err error) {
	for {
		kind, _, err := readFrame(p.link)
		if err != nil {
			status, err := p.Wait()
			return false, status, err
		}
		if kind == frameReady {
			break
		}
	}
	err = writeFrame(p.link, frameDetach, nil)
	p.link.Close()
	if err != nil {
		status, err := p.Wait()
		return false, status, err
	}
	return true, 0, p.process.Release()
}

// Wait waits for the stage's end and returns its exit status. A stage that was
// killed by a signal is an error, and the status is 125.
func (p *Process) Wait() (int, error) {
	state, err := p.process.Wait()
	p.link.Close()
	if err != nil {
		return statusBroken, fmt.Errorf("wait for %s: %w", p.name, err)
	}
	st, _ := state.Sys().(syscall.WaitStatus)
	if st.Signaled() {
		return statusBroken, fmt.Errorf("%s was killed: %v", p.name, st.Signal())
	}
	return st.ExitStatus(), nil
}

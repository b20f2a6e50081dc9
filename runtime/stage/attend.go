package stage

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Attend waits for the stage's end as the process that a person started: every
// signal that can be passed on, and came since [Start], is passed on to the stage.
// If the stage was killed while it had the terminal in raw mode, the terminal gets
// back the mode it had at Start; a stage that ends by itself does that on its own.
// The result is that of [Process.Wait], or what the stage has said by [Link.Part]. The signals stay caught: what is left to do
// is to exit, or to call [Process.Uncatch].
func (p *Process) Attend() (int, error) {
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-p.signals:
				p.Signal(s.(unix.Signal))
			case <-done:
				return
			}
		}
	}()
	parted, ended := make(chan int, 1), make(chan struct{})
	go p.awaitPart(parted)
	var status int
	var err error
	go func() {
		defer close(ended)
		status, err = p.Wait()
	}()
	select {
	case status := <-parted:
		return status, nil
	case <-ended:
	}
	if err != nil && p.mode != nil {
		signal.Ignore(unix.SIGTTOU) // would stop us here if we are in the background
		term.Restore(p.tty, p.mode)
	}
	return status, err
}

// awaitPart waits for the stage's word that it goes on without this process, and lets it.
func (p *Process) awaitPart(parted chan<- int) {
	for {
		kind, body, err := readFrame(p.link)
		if err != nil {
			return
		}
		if kind == framePart && len(body) == 1 && writeFrame(p.link, frameDetach, nil) == nil {
			parted <- int(body[0])
			return
		}
	}
}

// Uncatch lets go of the signals that [Start] caught: they do again what they did
// before it.
func (p *Process) Uncatch() { signal.Stop(p.signals) }

// Forwardable are the signals that who waits for another process passes on to it. Left out are those that
// can't be caught, that say something about itself (faults, its children, its own
// job control, a closed pipe), Go's own SIGURG, and those that whoever started it has
// asked to be ignored (nohup).
func Forwardable() (all []os.Signal) {
	for n := unix.Signal(1); n < 65; n++ {
		if signal.Ignored(n) {
			continue
		}
		switch n {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGPIPE, unix.SIGURG,
			unix.SIGTTIN, unix.SIGTTOU,
			unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS,
			unix.SIGPROF, unix.SIGVTALRM,
			32, 33, 34: // kept by C libraries for themselves; Go leaves them alone too
		default:
			all = append(all, n)
		}
	}
	return all
}

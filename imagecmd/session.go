package imagecmd

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/cfs-project/cfs/internal/fdcopy"
	"github.com/cfs-project/cfs/runtime"
)

// A session is this process's side of being connected with a process in a container.
type session struct {
	input *os.File // what the container reads, nil without
	pump  *os.File // where input that is looked at for the keys that detach is written
	keys  *keyWatch
	raw   *term.State
	left  chan struct{} // closed once the keys were typed
	stop  [2]int        // pipe; closing the second ends the copying of input
	tty   bool
	// resize, if not nil, is told sizes; otherwise the monitor is.
	resize func(rows, cols uint16)
}

// newSession prepares standard input. If it is a terminal and the container's is one
// too, it is raw until close, and looked at for the keys that detach.
func newSession(keys string, tty, stdin bool) (*session, error) {
	s := &session{tty: tty, left: make(chan struct{}), stop: [2]int{-1, -1}}
	if !stdin {
		return s, nil
	}
	if !tty || !term.IsTerminal(int(os.Stdin.Fd())) {
		s.input = os.Stdin
		return s, nil
	}
	var err error
	if s.keys, err = newKeyWatch(keys); err != nil {
		return nil, err
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	s.input, s.pump = os.NewFile(uintptr(p[0]), "input"), os.NewFile(uintptr(p[1]), "input")
	if err := unix.Pipe2(s.stop[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	if s.raw, err = term.MakeRaw(int(os.Stdin.Fd())); err != nil {
		return nil, err
	}
	go s.copyInput()
	return s, nil
}

// copyInput passes on what is typed, until the keys that detach are.
func (s *session) copyInput() {
	fdcopy.Each(int(os.Stdin.Fd()), s.stop[0], func(b []byte) bool {
		pass, leave := s.keys.look(b)
		if len(pass) > 0 && fdcopy.Write(int(s.pump.Fd()), pass) != nil {
			return false
		}
		if leave {
			close(s.left)
		}
		return !leave
	})
}

func (s *session) size() (rows, cols uint16) {
	if !s.tty {
		return 0, 0
	}
	for _, f := range []*os.File{os.Stdin, os.Stdout} {
		if w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			return w.Row, w.Col
		}
	}
	return 0, 0
}

func (s *session) close() {
	if s.stop[1] >= 0 {
		unix.Close(s.stop[1])
	}
	if s.raw != nil {
		_ = term.Restore(int(os.Stdin.Fd()), s.raw)
	}
}

// follow passes signals and sizes on until the last answer has come.
func (s *session) follow(ctx context.Context, conn *controlConn, c *Container, proxy bool) (int, error) {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, unix.SIGWINCH)
	if proxy {
		signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGCONT)
	}
	defer signal.Stop(signals)
	type last struct {
		r   controlReply
		err error
	}
	ended := make(chan last, 1)
	go func() {
		r, err := conn.answer(c)
		ended <- last{r, err}
	}()
	for {
		select {
		case n := <-signals:
			e := controlEvent{}
			if n == unix.SIGWINCH {
				e.Rows, e.Cols = s.size()
				if s.resize != nil {
					s.resize(e.Rows, e.Cols)
					continue
				}
			} else {
				e.Signal = int(n.(unix.Signal))
			}
			_ = conn.send(e) // an end that comes at the same time is seen below
		case l := <-ended:
			if l.err != nil {
				return runtime.StatusFailed, l.err
			}
			if l.r.Ended {
				return l.r.Status, c.waitEnded(ctx)
			}
			return l.r.Status, nil
		case <-s.left:
			conn.CloseWrite()
			return 0, ErrDetached
		case <-ctx.Done():
			return runtime.StatusFailed, ctx.Err()
		}
	}
}

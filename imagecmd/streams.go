package imagecmd

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/internal/jsonlog"
	"github.com/cfs-project/cfs/internal/fdcopy"
	"github.com/cfs-project/cfs/runtime/stage"
)

// streams connect a container's standard files with its log and with whoever is
// attached to it:
//
//	container ── stdout, stderr (pipes, or its terminal) ──► log, every client
//	container ◄── stdin (a pipe, or its terminal) ────────── every client
//
// What a client doesn't take any more is not kept for it.
type streams struct {
	log  *jsonlog.Writer // nil: none is kept
	tty  bool
	open bool // there is a standard input

	mu      sync.Mutex
	clients map[*streamClient]bool
	in      *os.File   // the container's input, our end
	theirs  []*os.File // the container's ends, until it has them
	stdio   stage.Stdio
	ours    [2]*os.File // of the container's output and errors
	output  sync.WaitGroup
}

// A streamClient is somebody's standard files. Those that aren't wanted are nil.
type streamClient struct {
	in, out, err *os.File
	// closesInput tells that the container's input ends with this client's.
	closesInput bool

	stop [2]int // pipe; the copying of in ends when the second is closed
	left chan struct{}
	once sync.Once
	// feeding is the copying of in. Whoever owns the files waits for it, by leave,
	// before they are closed: their numbers could be others' by then.
	feeding sync.WaitGroup
}

// newStreams makes the streams of a container that is about to start.
func newStreams(log *jsonlog.Writer, tty, open bool) (*streams, error) {
	s := &streams{log: log, tty: tty, open: open, clients: map[*streamClient]bool{}}
	if tty {
		return s, nil
	}
	pipe := func() (r, w *os.File, err error) {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return nil, nil, os.NewSyscallError("pipe", err)
		}
		return os.NewFile(uintptr(p[0]), "pipe"), os.NewFile(uintptr(p[1]), "pipe"), nil
	}
	for i, to := range []**os.File{&s.stdio.Out, &s.stdio.Err} {
		r, w, err := pipe()
		if err != nil {
			s.close()
			return nil, err
		}
		s.ours[i], *to = r, w
		s.theirs = append(s.theirs, w)
	}
	if open {
		r, w, err := pipe()
		if err != nil {
			s.close()
			return nil, err
		}
		s.in, s.stdio.In = w, r
		s.theirs = append(s.theirs, r)
	}
	return s, nil
}

// close gives up what never began.
func (s *streams) close() {
	for _, f := range append(s.theirs, s.ours[0], s.ours[1], s.in) {
		if f != nil {
			f.Close()
		}
	}
}

// begin copies from now on. The container has its ends.
func (s *streams) begin() {
	if s.tty {
		return // console begins
	}
	for _, f := range s.theirs {
		f.Close()
	}
	s.theirs = nil
	for i, name := range []string{"stdout", "stderr"} {
		s.output.Add(1)
		go s.copy(s.ours[i], name)
	}
}

// console begins with the master of the container's terminal.
func (s *streams) console(master *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ours[0] = master
	if s.open {
		s.in = master
		for c := range s.clients {
			s.feed(c)
		}
	}
	s.output.Add(1)
	go s.copy(master, "stdout")
}

// copy hands out what the container writes, until it ends.
func (s *streams) copy(from *os.File, name string) {
	defer s.output.Done()
	var log io.WriteCloser
	if s.log != nil {
		log = s.log.Stream(name)
		defer log.Close()
	}
	b := make([]byte, 32<<10)
	for {
		n, err := unix.Read(int(from.Fd()), b)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 { // a terminal that nobody has any more ends with EIO
			return
		}
		if log != nil {
			_, _ = log.Write(b[:n]) // a full disk must not stop the container
		}
		for _, c := range s.attached() {
			to := c.out
			if name == "stderr" {
				to = c.err
			}
			if to != nil && fdcopy.Write(int(to.Fd()), b[:n]) != nil {
				s.detach(c)
			}
		}
	}
}

func (s *streams) attached() []*streamClient {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*streamClient, 0, len(s.clients))
	for c := range s.clients {
		out = append(out, c)
	}
	return out
}

// attach adds a client, whose files stay open until it is detached.
func (s *streams) attach(c *streamClient) error {
	c.left = make(chan struct{})
	if err := unix.Pipe2(c.stop[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c] = true
	s.feed(c)
	return nil
}

// feed copies a client's input, if there is somewhere to copy it to.
func (s *streams) feed(c *streamClient) {
	if c.in == nil || s.in == nil {
		return
	}
	to := s.in
	c.feeding.Add(1)
	go func() {
		defer c.feeding.Done()
		fdcopy.Until(int(to.Fd()), int(c.in.Fd()), c.stop[0])
		if c.closesInput && !s.tty {
			s.endInput()
		}
	}()
}

// endInput closes the container's standard input. Other clients may be writing to the
// descriptor, so it is not closed, but becomes /dev/null.
func (s *streams) endInput() {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer null.Close()
	_ = unix.Dup3(int(null.Fd()), int(s.in.Fd()), unix.O_CLOEXEC)
}

// detach takes a client away. Its left is closed then.
func (s *streams) detach(c *streamClient) {
	c.once.Do(func() {
		s.mu.Lock()
		delete(s.clients, c)
		s.mu.Unlock()
		unix.Close(c.stop[1])
		close(c.left)
	})
}

// leave takes a client away and waits until nobody uses its files any more.
func (s *streams) leave(c *streamClient) {
	s.detach(c)
	c.feeding.Wait()
	unix.Close(c.stop[0])
}

// resize gives the container's terminal a size, in rows and columns.
func (s *streams) resize(rows, cols uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tty && s.ours[0] != nil && rows > 0 && cols > 0 {
		_ = unix.IoctlSetWinsize(int(s.ours[0].Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	}
}

// finish waits until all that the ended container wrote was handed out.
func (s *streams) finish() {
	s.output.Wait()
	for _, c := range s.attached() {
		s.detach(c)
	}
}

package runtime

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/cfs-project/cfs/internal/fdcopy"
	"github.com/cfs-project/cfs/runtime/stage"
)

// A terminal connects the caller's terminal, or whatever its standard files are,
// to the master of the container's.
//
//	In  ──► master ──► (container)
//	Out ◄── master
//
// The copying is done by poll(2) on the files as they are: they are shared with the
// person's shell, so they are never made non-blocking.
type terminal struct {
	io     stage.Stdio
	master int // -1 until attach
	raw    *term.State
	stop   [2]int // pipe: closing the second ends the copying of In
	in     sync.WaitGroup
	out    sync.WaitGroup
	mu     sync.Mutex // protects master against resize after detach
}

func newTerminal(io stage.Stdio) *terminal { return &terminal{io: io, master: -1} }

// size is the size of the caller's terminal, or the given one if it has none.
func (t *terminal) size(or [2]uint16) [2]uint16 {
	for _, f := range []*os.File{t.io.In, t.io.Out} {
		if f == nil {
			continue
		}
		if w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && w.Row > 0 && w.Col > 0 {
			return [2]uint16{w.Row, w.Col}
		}
	}
	return or
}

// resize gives the container's terminal the size of the caller's.
func (t *terminal) resize() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.size([2]uint16{}); t.master >= 0 && s[0] > 0 {
		// The kernel tells the foreground processes.
		unix.IoctlSetWinsize(t.master, unix.TIOCSWINSZ, &unix.Winsize{Row: s[0], Col: s[1]})
	}
}

// attach begins to copy and, if In is a terminal, makes it raw. It owns master.
func (t *terminal) attach(master int) error {
	if err := unix.Pipe2(t.stop[:], unix.O_CLOEXEC); err != nil {
		unix.Close(master)
		return fmt.Errorf("attach terminal: %w", err)
	}
	t.mu.Lock()
	t.master = master
	t.mu.Unlock()
	if t.io.In != nil {
		fd := int(t.io.In.Fd())
		if term.IsTerminal(fd) {
			old, err := term.MakeRaw(fd)
			if err != nil {
				t.detach()
				return fmt.Errorf("attach terminal: make raw: %w", err)
			}
			t.raw = old
		}
		t.in.Add(1)
		go func() {
			defer t.in.Done()
			fdcopy.Until(master, fd, t.stop[0])
		}()
	}
	t.out.Add(1)
	go func() {
		defer t.out.Done()
		out := -1
		if t.io.Out != nil {
			out = int(t.io.Out.Fd())
		}
		fdcopy.Until(out, master, -1)
	}()
	return nil
}

// detach waits until the container's last output is written (it ends with EIO
// once all processes that had the terminal are gone) and gives the caller's terminal back,
// if it was attached.
func (t *terminal) detach() {
	if t.master < 0 {
		return
	}
	t.out.Wait()
	unix.Close(t.stop[1])
	t.in.Wait()
	unix.Close(t.stop[0])
	if t.raw != nil {
		term.Restore(int(t.io.In.Fd()), t.raw)
	}
	t.mu.Lock()
	unix.Close(t.master)
	t.master = -1
	t.mu.Unlock()
}

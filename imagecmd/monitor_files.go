package imagecmd

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/cfs-project/cfs/imagecmd/internal/jsonlog"
	"github.com/cfs-project/cfs/runtime/stage"
)

// containerLog is the log of a container's output, in its directory.
const containerLog = "output.log"

// monitorFiles are a container's standard files: those of P themselves, where
// nothing else needs what goes through them, or streams.
type monitorFiles struct {
	stdio   stage.Stdio
	streams *streams
	log     *jsonlog.Writer
	raw     *term.State // of P's terminal, before it was made raw
}

func (m *monitor) files() (*monitorFiles, error) {
	o := m.c.Options
	f := &monitorFiles{}
	if m.c.AutoRemove && !m.req.Detach {
		f.stdio = stage.Stdio{Out: os.Stdout, Err: os.Stderr}
		if m.req.Interactive {
			f.stdio.In = os.Stdin
		}
		return f, nil
	}
	var err error
	if !o.Log.None {
		f.log, err = jsonlog.Create(filepath.Join(m.c.dir, containerLog), jsonlog.Options{MaxSize: o.Log.MaxSize, MaxFiles: o.Log.MaxFiles})
		if err != nil {
			return nil, err
		}
	}
	if f.streams, err = newStreams(f.log, o.TTY, o.Interactive); err != nil {
		f.close()
		return nil, err
	}
	f.stdio = f.streams.stdio
	if o.TTY {
		f.stdio.Err = os.Stderr // for what goes wrong before there is a terminal
	}
	return f, nil
}

// attach makes P the first client. A terminal of P's is raw from now on, if the
// container has one too.
func (f *monitorFiles) attach(interactive bool) error {
	c := &streamClient{out: os.Stdout, err: os.Stderr, closesInput: true}
	if interactive {
		c.in = os.Stdin
		if f.streams.tty && term.IsTerminal(int(os.Stdin.Fd())) {
			var err error
			if f.raw, err = term.MakeRaw(int(os.Stdin.Fd())); err != nil {
				return err
			}
		}
	}
	return f.streams.attach(c)
}

// begin is called once the container has its files.
func (f *monitorFiles) begin() {
	if f.streams != nil {
		f.streams.begin()
		f.resize()
	}
}

// resize gives the container's terminal the size of P's.
func (f *monitorFiles) resize() {
	for _, file := range []*os.File{os.Stdin, os.Stdout} {
		if w, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ); err == nil && w.Row > 0 {
			f.streams.resize(w.Row, w.Col)
			return
		}
	}
}

func (f *monitorFiles) close() {
	if f.raw != nil {
		_ = term.Restore(int(os.Stdin.Fd()), f.raw)
	}
	if f.streams != nil {
		f.streams.close()
	}
	if f.log != nil {
		f.log.Close()
	}
}

// passOn passes on what P is sent, and this process, to the container.
func (m *monitor) passOn(ct *controller, f *monitorFiles) {
	for {
		select {
		case s := <-m.l.Signals():
			if s == unix.SIGWINCH && f.streams != nil {
				f.resize()
				continue
			}
			select {
			case ct.signals <- s:
			default: // as pending signals, they merge
			}
		case <-ct.ended:
			return
		}
	}
}

// detach lets P go, with its files.
func (m *monitor) detach() {
	m.l.Ready()
	m.quiet()
}

// quiet gives up the files of who started the container.
func (m *monitor) quiet() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer null.Close()
	for fd := range 3 {
		_ = unix.Dup3(int(null.Fd()), fd, 0)
	}
}

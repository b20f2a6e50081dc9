package imagecmd

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/cfs-project/cfs/internal/fdcopy"
	"github.com/cfs-project/cfs/runtime"
)

// ExecOptions is what `cfs exec` was asked for.
type ExecOptions struct {
	Command     []string
	Env         []string
	EnvFiles    []string
	Workdir     string
	User        string
	Interactive bool
	TTY         bool
	Detach      bool
	Privileged  bool
	DetachKeys  string
}

// Exec runs one more process in a running container and returns its exit status.
func Exec(ctx context.Context, root, name string, o ExecOptions) (int, error) {
	const refused = 1 // as Docker
	c, err := OpenContainers(root).Find(name)
	if err != nil {
		return refused, err
	}
	state, err := c.State()
	if err != nil {
		return refused, err
	}
	if state.Paused && c.Running() {
		return refused, sentencef(nil, "Container %s is paused, unpause the container before exec", name)
	}
	if o.TTY && o.Interactive && !o.Detach && !term.IsTerminal(int(os.Stdin.Fd())) {
		return refused, ErrNoTerminal
	}
	env, err := environment(o.EnvFiles, o.Env, os.LookupEnv)
	if err != nil {
		return refused, err
	}
	conn, err := c.dial()
	if err != nil {
		return refused, err
	}
	defer conn.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return refused, err
	}
	defer null.Close()
	files := []*os.File{null, null, null}
	if !o.Detach && !o.TTY {
		files[1], files[2] = os.Stdout, os.Stderr
		if o.Interactive {
			files[0] = os.Stdin
		}
	}
	s := &session{tty: o.TTY, left: make(chan struct{}), stop: [2]int{-1, -1}}
	req := controlRequest{Op: opExec, Exec: &execRequest{
		Args: o.Command, Env: env, User: o.User, Cwd: o.Workdir, TTY: o.TTY, Privileged: o.Privileged,
	}}
	req.Rows, req.Cols = s.size()
	if err := conn.send(req, files...); err != nil {
		return refused, c.lost(err)
	}
	var r controlReply
	got, err := conn.receive(&r)
	defer closeFiles(got)
	err = c.lost(err)
	if err == nil {
		err = r.failed()
	}
	if err != nil {
		return max(r.Status, refused), err
	}
	if !r.Running || o.Detach {
		return r.Status, nil
	}
	if o.TTY && len(got) == 1 {
		return s.terminal(ctx, conn, c, got[0], o)
	}
	return s.follow(ctx, conn, c, false)
}

// terminal copies between this process's standard files and the master of a terminal
// in the container.
func (s *session) terminal(ctx context.Context, conn *controlConn, c *Container, master *os.File, o ExecOptions) (int, error) {
	in, err := newSession(o.DetachKeys, true, o.Interactive)
	if err != nil {
		return runtime.StatusFailed, err
	}
	defer in.close()
	in.resize = func(rows, cols uint16) {
		_ = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	}
	if in.input != nil {
		go fdcopy.Until(int(master.Fd()), int(in.input.Fd()), in.stop[0])
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		fdcopy.Until(int(os.Stdout.Fd()), int(master.Fd()), -1)
	}()
	status, err := in.follow(ctx, conn, c, false)
	if err == nil {
		<-written
	}
	return status, err
}

package imagecmd

import (
	"context"
	"errors"
	"os"
)

// AttachOptions says how somebody is attached to a container.
type AttachOptions struct {
	NoStdin    bool
	SigProxy   bool   // pass signals on to the container
	DetachKeys string // as Docker writes them; empty: ctrl-p,ctrl-q
}

// ErrDetached is returned by who was attached and has left, while the container runs on.
var ErrDetached = errors.New("detached")

// Attach connects this process's standard files with a running container's, and
// returns its exit status once it has ended.
func Attach(ctx context.Context, root, name string, o AttachOptions) (int, error) {
	c, err := OpenContainers(root).Find(name)
	if err != nil {
		return 1, err
	}
	state, err := c.State()
	if err != nil {
		return 1, err
	}
	if state.Paused && c.Running() {
		return 1, sentencef(nil, "You cannot attach to a paused container, unpause it first")
	}
	conn, err := c.dial()
	if errors.Is(err, ErrNotRunning) {
		return 1, sentencef(nil, "You cannot attach to a stopped container, start it first")
	}
	if err != nil {
		return 1, err
	}
	defer conn.Close()
	s, err := newSession(o.DetachKeys, c.Options.TTY, !o.NoStdin && c.Options.Interactive)
	if err != nil {
		return 1, err
	}
	defer s.close()
	req := controlRequest{Op: opAttach, Attach: &attachRequest{In: -1, Out: 0, Err: 1}}
	req.Rows, req.Cols = s.size()
	files := []*os.File{os.Stdout, os.Stderr}
	if s.input != nil {
		req.Attach.In = 2
		files = append(files, s.input)
	}
	if err := conn.send(req, files...); err != nil {
		return 1, c.lost(err)
	}
	if _, err := conn.answer(c); err != nil {
		return 1, err
	}
	return s.follow(ctx, conn, c, o.SigProxy)
}

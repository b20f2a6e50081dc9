package imagecmd

import (
	"context"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/background"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/runtime"
)

// pauseServer is argv[0] of the process that keeps a container paused. It lets
// it go on when it is told to, or when the command that wanted it is gone,
// however that ended: nobody finds his container stopped by a command that was
// killed.
const pauseServer = "cfs-pause"

type pauseRequest struct{ Init int }

// pauseMain pauses the container, and lets it go on when nobody has the other
// end of the pipe any more.
func pauseMain(s *background.Server) int {
	var req pauseRequest
	err := s.Request(&req)
	if err != nil {
		s.Ready(err)
		return 1
	}
	p, err := runtime.Pause(context.Background(), req.Init)
	s.Ready(err)
	if err != nil {
		return 1
	}
	_, _ = io.Copy(io.Discard, s.File(0))
	p.Resume()
	return 0
}

// pause stops what runs in the container. The processes go on when resume is
// called, or this process ends.
func (r *reading) pause() (resume func(), err error) {
	if r.live.Init == 0 {
		return func() {}, nil
	}
	held, hold, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer held.Close()
	err = background.Start(pauseServer, pauseRequest{r.live.Init}, nil, held)
	if err == nil {
		return func() { hold.Close() }, nil
	}
	hold.Close()
	if !r.c.Running() {
		return func() {}, nil // it has just ended
	}
	return nil, hint.With(err, "--pause=false reads the container while it runs")
}

// flush has the kernel write what programs have changed in memory that they map
// from files: all else a mount has already.
func (r *reading) flush() (err error) {
	switch {
	case r.live.Init != 0:
		err = r.c.askFlush()
	case r.running && r.c.MountedAt != "":
		err = syncfs(r.c.MountedAt)
	}
	if err != nil && !r.c.Running() {
		return nil // it has just ended, and so has written everything
	}
	return err
}

// layerTar reads the change as a layer, with what runs in the container stopped
// until done is called if it is to be paused.
func (r *reading) layerTar(
	ctx context.Context, times layerTimes, pause bool, note func(path, what string),
) (tar io.Reader, done func(), err error) {
	resume := func() {}
	if pause {
		if resume, err = r.pause(); err != nil {
			return nil, nil, err
		}
	}
	err = r.flush()
	var in io.ReadCloser
	if err == nil {
		in, err = r.read(ctx, wantLayer, times, note)
	}
	if err != nil {
		resume()
		return nil, nil, err
	}
	return in, func() { in.Close(); resume() }, nil
}

func (c *Container) askFlush() error {
	_, err := c.ask(controlRequest{Op: opFlush})
	return err
}

// syncfs has the kernel write all that is dirty of the filesystem at a directory.
func syncfs(dir string) error {
	f, err := os.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}

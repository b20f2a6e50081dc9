package imagecmd

import (
	"context"
	"errors"
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
	return nil, hint.With(err, "--pause=false reads the container while it runs")
}

// flush has the kernel write what programs have changed in memory that they map
// from files: all else a mount has already.
func (r *reading) flush() error {
	switch {
	case r.live.Init != 0:
		return r.c.askFlush()
	case r.running && r.c.MountedAt != "":
		return syncfs(r.c.MountedAt)
	}
	return nil
}

// still has the change hold still, if it is to be paused, and be whole. One that ends
// meanwhile is as whole when its monitor has ended, which writes the rest; one that somebody
// starts again then is another process.
func (r *reading) still(ctx context.Context, pause bool) (resume func(), err error) {
	for try := 0; ; try++ {
		resume = func() {}
		if pause {
			resume, err = r.pause()
		}
		if err == nil {
			if err = r.flush(); err == nil {
				return resume, nil
			}
			resume()
		}
		if r.live.Init != 0 && r.c.readLive().Init == r.live.Init {
			if _, ended := r.c.ask(controlRequest{Op: opRuns}); !errors.Is(ended, ErrNotRunning) {
				return nil, err
			}
		} else if r.c.Running() && r.c.MountedAt != "" {
			return nil, err
		}
		switch end := r.c.waitMonitor(ctx); {
		case end == nil:
			r.running, r.live = false, live{}
		case !errors.Is(end, ErrRunning) || try == 3:
			return nil, err
		default:
			r.live = r.c.readLive()
		}
	}
}

// layerTar reads the change as a layer, with what runs in the container stopped
// until done is called if it is to be paused.
func (r *reading) layerTar(
	ctx context.Context, times layerTimes, pause bool, note func(path, what string),
) (tar io.Reader, done func(), err error) {
	resume, err := r.still(ctx, pause)
	if err != nil {
		return nil, nil, err
	}
	in, err := r.read(ctx, wantLayer, times, note)
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

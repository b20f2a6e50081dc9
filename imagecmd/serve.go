package imagecmd

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/background"
)

// serveStage is the argv[0] of the process that serves a mount of `cfs mount`.
const serveStage = "cfs-serve"

type serveRequest struct {
	Root       string // of the store
	ID         string // of the container
	Target     string
	AllowOther bool
	Debug      bool
}

// Servers are the processes that outlive the command, for [background.Main].
func Servers() background.Table {
	return background.Table{serveStage: serveMain, pauseServer: pauseMain}
}

// serveMain is the server of a mount. It ends when the mount is gone, or when
// it is told to. The container's lock is handed over to it.
func serveMain(s *background.Server) int {
	var req serveRequest
	err := s.Request(&req)
	if err == nil {
		c := &Container{dir: filepath.Join(OpenContainers(req.Root).dir(), req.ID), lock: s.File(0)}
		if err = readJSON(filepath.Join(c.dir, containerConfig), c); err == nil {
			ready := false
			err = c.serve(req, stageLog(req.Debug), func() { ready = true; s.Ready(nil) })
			if ready && err == nil {
				return 0
			} else if ready {
				return 1
			}
		}
	}
	s.Ready(err)
	return 1
}

// serve mounts, says so, and waits for the end.
func (c *Container) serve(req serveRequest, log *slog.Logger, ready func()) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer stop()
	st, err := store.Open(req.Root, store.Options{})
	if err != nil {
		return err
	}
	all := Drivers(req.Root, log)
	state, err := c.State()
	if err != nil {
		return err
	}
	d, err := c.driver(ctx, all, state)
	if err != nil {
		return err
	}
	image, err := st.Resolve(ctx, c.ImageID.String())
	if err != nil {
		return err
	}
	chain, release, err := st.Chain(ctx, image)
	if err != nil {
		return err
	}
	defer release()
	snap := c.snapshot(chain)
	if state.Driver == "" && !c.ReadOnly { // not mounted before
		if err := d.Create(ctx, snap); err != nil {
			return err
		}
		if err := c.limit(ctx, d, snap); err != nil {
			return err
		}
		if err := c.setState(State{Driver: d.Name(), Started: time.Now().UTC()}); err != nil {
			return err
		}
	} else if state.Driver != "" && !c.ReadOnly {
		if err := c.handOver(ctx, all, d, state, snap); err != nil {
			return err
		}
	}
	m, err := d.Mount(ctx, snap, req.Target, cow.MountOptions{
		ReadOnly: c.ReadOnly, AllowOther: req.AllowOther, Source: c.Image,
	})
	if err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil { // let go of where the command was called
		return errors.Join(err, m.Unmount())
	}
	gone, err := watchPlace(req.Target)
	if err != nil {
		return errors.Join(err, m.Unmount())
	}
	c.writeLive(live{Driver: d.Name(), Server: os.Getpid()})
	ready()
	select {
	case <-m.Done():
	case <-ctx.Done():
	}
	// Once it is gone here, copies in other mount namespaces are nobody's, and end with
	// this process.
	if !gone() {
		err = m.Unmount()
	}
	if c.ReadOnly || c.Name == "" && empty(context.Background(), d, snap) {
		return errors.Join(err, c.remove(context.Background(), all))
	}
	return err
}

// watchPlace tells, whenever it is asked, whether the union that is mounted at target now is
// mounted nowhere any more in this mount namespace. Of what the kernel mounts a driver knows
// the end by itself.
func watchPlace(target string) (gone func() bool, err error) {
	at, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(target))
	if err != nil {
		return nil, err
	}
	if len(at) == 0 { // it was unmounted at once
		return func() bool { return true }, nil
	}
	top := at[len(at)-1]
	return func() bool {
		left, err := mountinfo.GetMounts(sameDevice(top))
		return err == nil && len(left) == 0 && top.FSType == unionType
	}, nil
}

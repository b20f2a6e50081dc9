package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/background"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/stage"
)

// monitorStage is argv[0] of a container's monitor.
const monitorStage = "cfs-monitor"

// monitorRequest is what P tells S.
type monitorRequest struct {
	Root    string // of the store
	ID      string // of the container
	Chain   cow.Chain
	Process process
	Options RunOptions
}

// monitorMain is the monitor of a container (S): in a mount namespace of its own,
// and a user namespace where P is not privileged, it mounts the root, serves it
// if the driver is a userspace one, runs the process, and takes everything down
// again, also when P is gone.
func monitorMain(l *stage.Link, payload []byte) int {
	background.Lean()
	var req monitorRequest
	status, err := runtime.StatusFailed, json.Unmarshal(payload, &req)
	if err == nil {
		c := &Container{dir: filepath.Join(OpenContainers(req.Root).dir(), req.ID)}
		if err = readJSON(filepath.Join(c.dir, containerConfig), c); err == nil {
			if err = c.join(); err == nil {
				status, err = c.monitor(l, req)
			}
		}
	}
	if err != nil && !errors.Is(context.Cause(l.Context()), stage.ErrParentGone) {
		printError(os.Stderr, err)
	}
	return status
}

// printError says why a stage failed, as the command line would.
func printError(w *os.File, err error) {
	fmt.Fprintf(w, "cfs: %v\n", err)
	if text := hint.Of(err); text != "" {
		fmt.Fprintf(w, "hint: %s\n", text)
	}
}

func stageLog(debug bool) *slog.Logger {
	if !debug {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (c *Container) monitor(l *stage.Link, req monitorRequest) (status int, err error) {
	log := stageLog(req.Options.Debug)
	all := Drivers(req.Root, log)
	if err := OpenContainers(req.Root).sweep(l.Context(), all); err != nil {
		log.Warn("removing what killed processes left", "error", err)
	}
	state := State{Started: time.Now().UTC()}
	// What is done below must be done although P is gone, so not under its context.
	defer func() {
		state.Finished, state.Status = time.Now().UTC(), status
		if err != nil {
			state.Error = err.Error()
		}
		if c.AutoRemove {
			err = errors.Join(err, c.remove(context.Background(), all))
		} else {
			err = errors.Join(err, c.setState(state))
		}
	}()
	d, err := pickDriver(l.Context(), all, c.Driver)
	if err != nil {
		return runtime.StatusFailed, err
	}
	log.Debug("driver", "name", d.Name())
	state.Driver = d.Name()
	return c.inRoot(l, d, req, &state)
}

// inRoot mounts the container's root, runs its process and unmounts again. The
// container's first process comes up while the root is being mounted.
func (c *Container) inRoot(l *stage.Link, d cow.Driver, req monitorRequest, state *State) (status int, err error) {
	spec, err := c.spec(req, runtime.User{})
	if err != nil {
		return runtime.StatusFailed, err
	}
	stdio := stage.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	first, err := runtime.Prestart(spec, stdio)
	if err != nil {
		return runtime.StatusFailed, err
	}
	defer first.Kill()
	snap := c.snapshot(req.Chain)
	if err := d.Create(l.Context(), snap); err != nil {
		return runtime.StatusFailed, err
	}
	if err := c.limit(l.Context(), d, snap); err != nil {
		return runtime.StatusFailed, err
	}
	rootfs := filepath.Join(c.dir, containerRootfs)
	m, err := d.Mount(l.Context(), snap, rootfs, cow.MountOptions{AllowOther: true, Suid: true, Source: c.Image})
	if err != nil {
		return runtime.StatusFailed, err
	}
	defer func() { err = errors.Join(err, m.Unmount()) }()
	if !c.AutoRemove {
		if err := c.setState(*state); err != nil {
			return runtime.StatusFailed, err
		}
	}
	return c.process(l, rootfs, req, runtime.Options{Stdio: stdio, Prestarted: first})
}

package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/background"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/stage"
)

// monitorStage is argv[0] of a container's monitor.
const monitorStage = "cfs-monitor"

// monitorRequest is what P tells S. The rest S reads from the container's
// configuration.
type monitorRequest struct {
	Root        string // of the store
	ID          string // of the container
	Chain       cow.Chain
	Detach      bool        // go on without P once the process runs
	Attach      bool        // P's files get the container's output
	Interactive bool        // P's standard input is the container's
	Only        []string    // of stdout and stderr those that P gets; none: both
	Told        bool        // the person knows what there is to say of the network
	Keep        bool        // P removes the container, which would go with its process
	Files       []shownFile // that the container sees, from memory
	Env         []string    // NAME=VALUE, of the process: what no file is to hold
	Debug       bool
}

// attaches tells whether P gets one of the container's standard files.
func (r monitorRequest) attaches(name string) bool {
	return len(r.Only) == 0 || slices.Contains(r.Only, name)
}

// monitorMain is the monitor of a container (S): in a mount namespace of its own,
// and a user namespace where P is not privileged, it mounts the root, serves it
// if the driver is a userspace one, runs the process, and takes everything down
// again, also when P is gone.
func monitorMain(l *stage.Link, payload []byte) int {
	background.LeanLater()
	stage.Prepare()
	var req monitorRequest
	status, err := runtime.StatusFailed, json.Unmarshal(payload, &req)
	if err == nil {
		c := &Container{dir: filepath.Join(OpenContainers(req.Root).dir(), req.ID)}
		if err = readJSON(filepath.Join(c.dir, containerConfig), c); err == nil {
			if err = c.join(); err == nil {
				m := &monitor{c: c, l: l, req: req, log: stageLog(req.Debug)}
				status, err = m.run()
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

// A monitor is one run of a container.
type monitor struct {
	c   *Container
	l   *stage.Link
	req monitorRequest
	log *slog.Logger
	all []cow.Driver
	net *connection

	state   State         // written by this process alone
	stopped atomic.Bool   // by somebody, so that it isn't started again
	views   []specs.Mount // of the container's views
	profile madeProfile
}

// saveState tells others how it is. That a disk is full must not end the container.
func (m *monitor) saveState() {
	if err := m.c.setState(m.state); err != nil {
		m.log.Warn("container state", "error", err)
	}
}

func (m *monitor) run() (status int, err error) {
	c := m.c
	m.dropMounts()
	m.all = Drivers(m.req.Root, m.log)
	if err := OpenContainers(m.req.Root).sweep(m.l.Context(), m.all); err != nil {
		m.log.Warn("removing what killed processes left", "error", err)
	}
	before, err := c.State()
	if err != nil {
		return runtime.StatusFailed, err
	}
	m.state = State{Driver: before.Driver, Filled: before.Filled, Started: time.Now().UTC()}
	// What is done below must be done although P is gone, so not under its context.
	defer func() {
		m.state.Finished, m.state.Status, m.state.Pid, m.state.Paused = time.Now().UTC(), status, 0, false
		m.state.Restarting = false
		if err != nil {
			m.state.Error = err.Error()
		}
		if c.AutoRemove && (!m.req.Keep || m.l.Context().Err() != nil) { // P is gone
			err = errors.Join(err, c.remove(context.Background(), m.all))
		} else {
			err = errors.Join(err, c.setState(m.state))
		}
	}()
	d, err := pickDriver(m.l.Context(), m.all, c.Driver)
	if err != nil {
		return runtime.StatusFailed, err
	}
	m.log.Debug("driver", "name", d.Name())
	return m.lives(d, before)
}

// inRoot mounts the container's root, runs its process and unmounts again. The
// container's first process comes up while the root is being mounted.
func (m *monitor) inRoot(d cow.Driver, before State) (status int, err error) {
	c, ctx := m.c, m.l.Context()
	if m.net, err = m.openNetwork(); err != nil {
		return runtime.StatusFailed, err
	}
	spec, err := m.spec(runtime.User{})
	if err != nil {
		return runtime.StatusFailed, err
	}
	files, err := m.files()
	if err != nil {
		return runtime.StatusFailed, err
	}
	defer files.close()
	first, err := runtime.Prestart(spec, files.stdio)
	if err != nil {
		return runtime.StatusFailed, err
	}
	defer first.Kill()
	if err := m.connect(first.Pid()); err != nil {
		return runtime.StatusFailed, errors.Join(err, m.net.close())
	}
	defer func() { err = errors.Join(err, m.net.close()) }()
	snap := c.snapshot(m.req.Chain)
	if err := c.prepareRoot(ctx, m.all, d, before, snap); err != nil {
		return runtime.StatusFailed, err
	}
	m.state.Driver = d.Name()
	rootfs, unmount, err := c.mountRoot(ctx, d, snap)
	if err != nil {
		return runtime.StatusFailed, err
	}
	defer func() { err = errors.Join(err, m.unmountRoot(unmount, m.again(status))) }()
	if !c.AutoRemove || c.Kept || m.req.Keep {
		if err := c.setState(m.state); err != nil {
			return runtime.StatusFailed, err
		}
	}
	views, err := c.mountViews(ctx, m.all, m.req.Files)
	if err != nil {
		return runtime.StatusFailed, err
	}
	defer func() { err = errors.Join(err, views.unmount()) }()
	m.views = views.mounts
	return m.process(files, rootfs, runtime.Options{Stdio: files.stdio, Prestarted: first})
}

// lingering is how long an ended container waits for those who have files of it open.
const lingering = 5 * time.Second

// unmountRoot unmounts the root and waits until nobody uses it. A process of the host may have
// come to a file by /proc/PID/root and keep it: unless the root is to be mounted again, it is
// not waited for, and loses the file with its server.
func (m *monitor) unmountRoot(unmount func() error, again bool) error {
	if again {
		return unmount()
	}
	unmounted := make(chan error, 1)
	go func() { unmounted <- unmount() }()
	select {
	case err := <-unmounted:
		return err
	case <-time.After(lingering):
		m.log.Warn("somebody has files of the container open, which end with it")
		return nil
	}
}

// process runs the container's process in the mounted root.
func (m *monitor) process(files *monitorFiles, rootfs string, o runtime.Options) (status int, err error) {
	c := m.c
	if err := c.fillVolumes(m.req.Root, rootfs, !m.state.Filled); err != nil {
		return runtime.StatusFailed, err
	}
	m.state.Filled = true
	view, err := c.lookInto(rootfs)
	if err != nil {
		return runtime.StatusFailed, err
	}
	spec, err := m.spec(view.user)
	if err != nil {
		return runtime.StatusFailed, err
	}
	if view.apt {
		if err := c.tellApt(spec); err != nil {
			return runtime.StatusFailed, err
		}
	}
	release, err := c.pinSubpaths(spec.Mounts)
	if err != nil {
		return runtime.StatusFailed, err
	}
	defer release()
	if err := m.net.ready(m.req.Told); err != nil {
		return runtime.StatusFailed, err
	}
	spec.Mounts = append(spec.Mounts, m.views...)
	hosts, err := writeHostFiles(c.dir, m.net, spec.Hostname)
	if err != nil {
		return runtime.StatusFailed, err
	}
	if !c.AutoRemove || m.req.Keep { // else they go with all of the change
		defer view.stubs.remove(rootfs)
	}
	for _, m := range hosts {
		if !covered(spec.Mounts, m.Destination) {
			spec.Mounts = append(spec.Mounts, m)
		}
	}

	o.Init = c.Options.Init
	if !c.Options.InitSet {
		o.Init = wantsInit(spec.Process.Args)
	}
	ct := c.newController(m.log, files.streams, rootfs)
	ct.init = o.Init
	ct.onEnd = func() { m.stopped.Store(true) }
	ct.onState = func(paused bool) {
		m.state.Paused = paused
		m.saveState()
	}
	ct.serveControl()
	defer func() { ct.close(status, err == nil && m.again(status)) }()
	if o.Placed, err = ct.makeGroup(); err != nil {
		return runtime.StatusFailed, err
	}
	defer func() {
		oom, e := ct.endGroup()
		m.state.OOMKilled, err = oom, errors.Join(err, e)
	}()
	go m.passOn(ct, files)
	if m.req.Attach && files.streams != nil {
		if err := files.attach(m.req); err != nil {
			return runtime.StatusFailed, err
		}
	}

	o.MakeCwd = true
	o.ID = c.ID
	o.Signals = ct.signals
	if files.streams != nil && c.Options.TTY {
		o.Console = files.streams.console
	}
	o.Started = func(pid int) {
		m.state.Pid = pid
		m.saveState()
		c.writeLive(live{Driver: m.state.Driver, Init: pid, Network: m.net.live()})
		files.begin()
		ct.started(pid, spec)
		ct.watchHealth()
		ct.settling.Store(background.Settle())
		if m.req.Detach {
			m.detach()
		}
	}
	status, err = runtime.Run(m.l.Context(), runtime.Bundle{Dir: c.dir, Root: rootfs, Spec: spec}, o)
	go m.net.close()
	if files.streams != nil && err == nil {
		files.streams.finish()
	}
	return status, err
}

package oci

import (
	"context"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/stage"
)

// ExecOptions are what `exec` takes.
type ExecOptions struct {
	Process *specs.Process
	// PIDFile, if given, is written with the process's id.
	PIDFile       string
	ConsoleSocket string
	PreserveFDs   int
	// Detach returns once the process runs.
	Detach bool
	// Paused lets it be started in a paused container, where it waits for it to be resumed.
	Paused  bool
	Stdio   stage.Stdio
	Signals <-chan os.Signal
}

// Process is the configuration's process, as what one more is made from.
func (c *Container) ProcessConfig() (*specs.Process, error) {
	spec, err := c.spec()
	if err != nil {
		return nil, err
	}
	if spec.Process == nil {
		return nil, fmt.Errorf("%w: process is missing", runtime.ErrInvalid)
	}
	return spec.Process, nil
}

// Exec runs one more process in a container, and returns its exit status.
func (c *Container) Exec(ctx context.Context, o ExecOptions) (int, error) {
	switch s := c.Status(); {
	case s == StatusPaused && o.Paused, s == specs.StateRunning, s == specs.StateCreated:
	case s == specs.StateStopped:
		err := fmt.Errorf("cannot exec in container %q: %w", c.ID, runtime.ErrNotRunning)
		return runtime.ExitStatus(err), err
	default:
		err := c.statusError("exec in", s)
		return runtime.ExitStatus(err), err
	}
	spec, err := c.spec()
	if err != nil {
		return runtime.StatusFailed, err
	}
	g, err := c.group()
	if err != nil {
		return runtime.StatusFailed, err
	}
	spec.Process = o.Process
	var failed error // of what a process that runs was to be noted down by
	ro := runtime.Options{
		ID: c.ID, Stdio: o.Stdio, Signals: o.Signals, Detach: o.Detach, PreserveFDs: o.PreserveFDs,
		Placed: g.Add,
		Warn:   func(s string) { c.r.warn("%s", s) },
		Started: func(pid int) {
			if failed == nil {
				failed = writePID(o.PIDFile, pid)
			}
		},
	}
	switch {
	case o.ConsoleSocket != "" && !o.Process.Terminal:
		return runtime.StatusFailed, fmt.Errorf("a console socket is of use for a process with a terminal alone")
	case o.ConsoleSocket != "":
		ro.Console = func(master *os.File) { failed = sendConsole(o.ConsoleSocket, master) }
	case o.Process.Terminal && o.Detach:
		return runtime.StatusFailed, fmt.Errorf("a detached process with a terminal needs --console-socket")
	}
	status, err := runtime.Exec(ctx, c.Process.PID, spec, ro)
	if err == nil && failed != nil {
		return runtime.StatusFailed, failed
	}
	return status, err
}

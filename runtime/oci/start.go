package oci

import (
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime"
)

// Start has the command of a created container executed, and runs the hooks that follow. If
// the command can't be executed the container is stopped.
func (c *Container) Start() error {
	lock, err := c.lock(unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.Close()
	if s := c.Status(); s != specs.StateCreated {
		return c.statusError("start", s)
	}
	spec, err := c.spec()
	if err != nil {
		return err
	}
	if spec.Process == nil {
		return fmt.Errorf("cannot start container %q: %w: process is missing", c.ID, runtime.ErrInvalid)
	}
	conn, err := connect(c.dir, startSocket)
	if err != nil {
		return err
	}
	defer conn.Close()
	b := runtime.Bundle{Dir: c.Bundle, Root: c.Root, Spec: spec}
	o := runtime.Options{ID: c.ID, Warn: func(s string) { c.r.warn("%s", s) }}
	if err := runtime.Start(b, conn, c.Process.PID, o); err != nil {
		return err
	}
	_ = os.Remove(c.path(startSocket))
	if spec.Hooks == nil {
		return nil
	}
	// What was executed may have ended already; the hooks are told of when it was.
	state := c.State()
	state.Status, state.Pid = specs.StateRunning, c.Process.PID
	if err := runtime.RunHooks(spec.Hooks.Poststart, "poststart", state); err != nil {
		// runtime.md, "Lifecycle" 9: the container is to be stopped.
		if e := c.Kill(unix.SIGKILL, true); e != nil {
			err = fmt.Errorf("%w; and it can't be stopped: %w", err, e)
		}
		return err
	}
	return nil
}

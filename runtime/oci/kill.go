package oci

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/cgroup"
)

// Kill sends a signal to the container's first process or, with all, to every process of it.
// A container without a pid namespace of its own is always killed as a whole by SIGKILL, as
// nothing ends with its first process.
func (c *Container) Kill(signal unix.Signal, all bool) error {
	status := c.Status()
	if status == specs.StateStopped && !all {
		return fmt.Errorf("cannot kill container %q: %w", c.ID, runtime.ErrNotRunning)
	}
	if status == specs.StateCreating {
		return c.statusError("kill", status)
	}
	if !all && signal == unix.SIGKILL {
		spec, err := c.spec()
		all = err == nil && !ownsPids(spec)
	}
	var err error
	if all {
		err = c.killAll(signal)
	} else {
		err = c.signal(c.Process, signal)
	}
	if err == nil && status == StatusPaused && signal == unix.SIGKILL {
		return c.thaw() // what is frozen doesn't die
	}
	return err
}

// signal sends a signal to that very process.
func (c *Container) signal(id runtime.ProcessID, s unix.Signal) error {
	p, err := os.FindProcess(id.PID) // by descriptor, from here on
	if err != nil {
		return err
	}
	defer p.Release()
	if !id.Alive() {
		return fmt.Errorf("cannot kill container %q: %w", c.ID, runtime.ErrNotRunning)
	}
	if err := p.Signal(s); err != nil {
		if errors.Is(err, os.ErrProcessDone) {
			err = runtime.ErrNotRunning
		}
		return fmt.Errorf("cannot kill container %q: %w", c.ID, err)
	}
	return nil
}

func (c *Container) killAll(s unix.Signal) error {
	pids, err := c.Processes()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, s); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("cannot kill process %d of container %q: %w", pid, c.ID, err)
		}
	}
	return nil
}

func (c *Container) thaw() error {
	g, err := c.group()
	if err != nil {
		return err
	}
	return g.Freeze(false)
}

// Processes are the ids of the container's processes as the caller sees them: those of
// its cgroup or, without one, of its pid namespace.
func (c *Container) Processes() ([]int, error) {
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	pids, err := g.Pids()
	if err == nil || !errors.Is(err, cgroup.ErrNone) {
		return pids, err
	}
	if !c.Process.Alive() {
		return nil, nil
	}
	if pids, err = runtime.Processes(c.Process.PID); errors.Is(err, runtime.ErrNotInit) {
		return []int{c.Process.PID}, nil
	}
	return pids, err
}

// ownsPids tells whether the configuration asks for a new pid namespace.
func ownsPids(spec *specs.Spec) bool {
	if spec.Linux == nil {
		return false
	}
	for _, ns := range spec.Linux.Namespaces {
		if ns.Type == specs.PIDNamespace && ns.Path == "" {
			return true
		}
	}
	return false
}

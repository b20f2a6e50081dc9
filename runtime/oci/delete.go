package oci

import (
	"fmt"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime"
)

// deleteLimit is how long killed processes may take to end.
const deleteLimit = 10 * time.Second

// Delete removes a stopped container: what is left of its processes, its cgroup, its
// directory. With force one that runs is killed first.
func (c *Container) Delete(force bool) error {
	how := unix.LOCK_EX
	lock, err := c.lock(how)
	if err != nil {
		return err
	}
	defer lock.Close()
	// It may have been written anew while we waited.
	if fresh, err := c.r.Open(c.ID); err == nil {
		*c = *fresh
	}
	if s := c.status(); s != specs.StateStopped {
		if !force {
			return c.statusError("delete", s)
		}
		if err := c.signal(c.Process, unix.SIGKILL); err != nil && c.Process.Alive() {
			return err
		}
	}
	if err := c.end(); err != nil {
		return err
	}
	g, err := c.group()
	if err != nil {
		return err
	}
	if err := g.Destroy(); err != nil {
		return err
	}
	spec, specErr := c.spec()
	if c.Mounted {
		if err := runtime.UnmountRoot(c.Root); err != nil {
			return err
		}
		c.Mounted = false
		if err := c.save(); err != nil {
			return err
		}
	}
	if specErr == nil && spec.Hooks != nil {
		// runtime.md, "Lifecycle" 12: a failure is a warning.
		state := specs.State{Version: specs.Version, ID: c.ID, Status: specs.StateStopped, Bundle: c.Bundle, Annotations: spec.Annotations}
		for _, h := range spec.Hooks.Poststop {
			if err := runtime.RunHooks([]specs.Hook{h}, "poststop", state); err != nil {
				c.r.warn("%v", err)
			}
		}
	}
	return os.RemoveAll(c.dir)
}

// status is Status for who holds the lock: nobody creates the container now.
func (c *Container) status() specs.ContainerState {
	if c.Process.PID == 0 {
		return specs.StateStopped
	}
	return c.Status()
}

// end kills every process that the container has left, and waits for their end.
func (c *Container) end() error {
	if c.status() == StatusPaused {
		if err := c.thaw(); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(deleteLimit)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		pids, err := c.Processes()
		if err != nil {
			return err
		}
		if len(pids) == 0 && !c.Process.Alive() {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cannot delete container %q: its processes don't end: %v", c.ID, pids)
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // one that is gone is what is wanted
		}
		time.Sleep(pause)
	}
}

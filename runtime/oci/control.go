package oci

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Pause freezes every process of a container, and Resume lets them go on.
func (c *Container) Pause() error {
	if s := c.Status(); s != specs.StateRunning {
		return c.statusError("pause", s)
	}
	return c.freeze(true)
}

// Resume is the end of a Pause.
func (c *Container) Resume() error {
	if s := c.Status(); s != StatusPaused {
		return c.statusError("resume", s)
	}
	return c.freeze(false)
}

func (c *Container) freeze(stop bool) error {
	g, err := c.group()
	if err == nil {
		err = g.Freeze(stop)
	}
	if err != nil {
		return fmt.Errorf("container %q: %w", c.ID, err)
	}
	return nil
}

// Update changes the limits of a container: those that resources name.
func (c *Container) Update(resources *specs.LinuxResources) error {
	if s := c.Status(); s == specs.StateStopped || s == specs.StateCreating {
		return c.statusError("update", s)
	}
	g, err := c.group()
	if err == nil {
		err = g.Set(resources)
	}
	if err != nil {
		return fmt.Errorf("cannot update container %q: %w", c.ID, err)
	}
	return nil
}

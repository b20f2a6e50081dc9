package imagecmd

import (
	"errors"
	"fmt"
	"reflect"
)

// UpdateOptions are what is changed of a container. The zero value of a limit, and a nil
// policy, leave it as it is.
type UpdateOptions struct {
	Limits  Limits
	Restart *RestartPolicy
}

// Update changes the limits and the restart policy of a container, of one that runs at once.
func Update(root, name string, o UpdateOptions) error {
	if err := update(root, name, o); err != nil {
		if errors.Is(err, ErrNoContainer) {
			return err
		}
		return sentencef(err, "Cannot update container %s: %v", name, err)
	}
	return nil
}

func update(root, name string, o UpdateOptions) error {
	cs := OpenContainers(root)
	lock, err := cs.lockNames() // nobody else changes what is written down of a container
	if err != nil {
		if _, e := cs.Find(name); e != nil {
			return e
		}
		return err
	}
	defer lock.Close()
	c, err := cs.Find(name)
	if err != nil {
		return err
	}
	if c.MountedAt != "" || c.Process.Args == nil {
		return fmt.Errorf("%s is a mount and runs nothing", name)
	}
	if o.Restart != nil {
		if c.AutoRemove && !o.Restart.none() {
			return sentencef(nil, "Restart policy cannot be updated because AutoRemove is enabled for the container")
		}
		c.Options.Restart = *o.Restart
	}
	before := c.Options.Limits
	if err := c.Options.Limits.change(o.Limits); err != nil {
		return err
	}
	c.Options.Limits = c.Options.Limits.filled()
	if err := c.Options.Limits.Check(); err != nil {
		return err
	}
	if err := c.checkGroup(); err != nil {
		return err
	}
	if !reflect.DeepEqual(c.Options.Limits, before) {
		_, err := c.ask(controlRequest{Op: opUpdate, Limits: &c.Options.Limits})
		if err != nil && !errors.Is(err, ErrNotRunning) {
			return err
		}
	}
	return c.rewrite()
}

// change lays others over the limits, where they say something.
func (l *Limits) change(o Limits) error {
	switch {
	case o.NanoCPUs > 0 && l.CPUPeriod > 0:
		return sentencef(nil, "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set")
	case o.NanoCPUs > 0 && l.CPUQuota > 0:
		return sentencef(nil, "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set")
	case o.CPUQuota > 0 && l.NanoCPUs > 0:
		return sentencef(nil, "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set")
	case o.CPUPeriod > 0 && l.NanoCPUs > 0:
		return sentencef(nil, "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set")
	case o.Memory != 0 && o.MemorySwap == 0 && l.MemorySwap > 0 && o.Memory > l.MemorySwap:
		return sentencef(nil, "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time")
	}
	for _, f := range []struct{ to, from *int64 }{
		{&l.Memory, &o.Memory}, {&l.MemorySwap, &o.MemorySwap}, {&l.MemoryReservation, &o.MemoryReservation}, {&l.NanoCPUs, &o.NanoCPUs},
		{&l.CPUShares, &o.CPUShares}, {&l.CPUPeriod, &o.CPUPeriod}, {&l.CPUQuota, &o.CPUQuota},
	} {
		if *f.from != 0 {
			*f.to = *f.from
		}
	}
	for _, f := range []struct{ to, from *string }{{&l.CpusetCpus, &o.CpusetCpus}, {&l.CpusetMems, &o.CpusetMems}} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	if o.PidsLimit != nil {
		l.PidsLimit = o.PidsLimit
	}
	if o.BlkioWeight != 0 {
		l.BlkioWeight = o.BlkioWeight
	}
	return nil
}

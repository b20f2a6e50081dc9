package oci

import (
	"context"
	"os"

	"github.com/cfs-project/cfs/runtime"
)

// RunOptions are what `run` takes.
type RunOptions struct {
	CreateOptions
	// Detach returns once the container runs, and Keep leaves it there when it has ended.
	Detach, Keep bool
	Signals      <-chan os.Signal
}

// Run creates a container, starts it, and waits for its end, unless it is detached. It returns
// the exit status of its process.
func (r *Runtime) Run(ctx context.Context, o RunOptions) (int, error) {
	var master *os.File
	if !o.Detach && o.ConsoleSocket == "" {
		o.Console = func(m *os.File) { master = m }
	}
	c, i, err := r.Create(ctx, o.CreateOptions)
	if err != nil {
		return runtime.ExitStatus(err), err
	}
	remove := func(err error) error {
		if o.Keep && err == nil {
			return nil
		}
		if e := c.Delete(true); e != nil && err == nil {
			err = e
		}
		return err
	}
	if err := c.Start(); err != nil {
		if master != nil {
			master.Close()
		}
		return runtime.ExitStatus(err), remove(err)
	}
	if o.Detach {
		return 0, nil
	}
	status, err := i.Supervise(o.Stdio, master, o.Signals)
	return status, remove(err)
}

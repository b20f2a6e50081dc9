package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/cfs-project/cfs/cow"
	drivers "github.com/cfs-project/cfs/kernel-drivers"
	"github.com/cfs-project/cfs/unionfs"
)

// Drivers are the drivers of the store at root, in the order they are tried:
// the userspace union, then the kernel's.
func Drivers(root string, log *slog.Logger) []cow.Driver {
	return append([]cow.Driver{unionfs.NewDriver(log)}, drivers.List(filepath.Join(root, "drivers"), log)...)
}

// handOver prepares what one driver wrote for another one, d. The state says
// from then on that d has it.
func (c *Container) handOver(ctx context.Context, all []cow.Driver, d cow.Driver, state State, s cow.Snapshot) error {
	if state.Driver == d.Name() {
		return nil
	}
	for _, old := range all {
		if done, ok := old.(cow.Completer); ok && old.Name() == state.Driver {
			if err := done.Complete(ctx, s); err != nil {
				return fmt.Errorf("completing what driver %s wrote: %w", old.Name(), err)
			}
		}
	}
	state.Driver = d.Name()
	return c.setState(state)
}

// pickDriver returns the driver with a name, or the first that works on this
// host when the name is empty or "auto".
func pickDriver(ctx context.Context, all []cow.Driver, name string) (cow.Driver, error) {
	var names []string
	var why error
	for _, d := range all {
		names = append(names, d.Name())
		if name != "" && name != "auto" && name != d.Name() {
			continue
		}
		err := d.Probe(ctx)
		if err == nil {
			return d, nil
		}
		if name == d.Name() {
			return nil, err
		}
		if why == nil {
			why = err // the reason of the driver people would rather have
		}
	}
	if why == nil {
		return nil, fmt.Errorf("unknown driver %q (there are: %s)", name, strings.Join(names, ", "))
	}
	var u *cow.Unusable
	if errors.As(why, &u) {
		return nil, &cow.Unusable{Driver: "no driver works on this host: " + u.Driver, Reason: u.Reason, Hint: u.Hint}
	}
	return nil, fmt.Errorf("no driver works on this host: %w", why)
}

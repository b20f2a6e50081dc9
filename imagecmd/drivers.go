package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/hint"
	drivers "github.com/cfs-project/cfs/kernel-drivers"
	"github.com/cfs-project/cfs/unionfs"
)

// Drivers are the drivers of the store at root, in the order they are tried:
// the userspace union, then the kernel's.
func Drivers(root string, log *slog.Logger) []cow.Driver {
	return append([]cow.Driver{unionfs.NewDriver(log)}, drivers.List(filepath.Join(root, "drivers"), log)...)
}

// driverNamed is the driver of all with a name; nil if there is none.
func driverNamed(all []cow.Driver, name string) cow.Driver {
	for _, d := range all {
		if d.Name() == name {
			return d
		}
	}
	return nil
}

// handOver prepares what one driver wrote for another one, d, if both keep changes
// in the same form. The state says from then on that d has it.
func (c *Container) handOver(ctx context.Context, all []cow.Driver, d cow.Driver, state State, s cow.Snapshot) error {
	if state.Driver == d.Name() {
		return nil
	}
	old := driverNamed(all, state.Driver)
	if old == nil {
		return fmt.Errorf("its changes are kept by driver %q, which this cfs does not have", state.Driver)
	}
	if !cow.Describe(old).Upper || !cow.Describe(d).Upper {
		return hint.With(fmt.Errorf("its changes are kept by driver %s, in a form that %s does not have", old.Name(), d.Name()),
			fmt.Sprintf("cfs driver migrate %s --to %s", c.Label(), d.Name()))
	}
	if done, ok := old.(cow.Completer); ok {
		if err := done.Complete(ctx, s); err != nil {
			return fmt.Errorf("completing what driver %s wrote: %w", old.Name(), err)
		}
	}
	state.Driver = d.Name()
	return c.setState(state)
}

// driver is the one that the container is to be mounted with: the one that was
// asked for, the one that has its changes, or the first that works.
func (c *Container) driver(ctx context.Context, all []cow.Driver, state State) (cow.Driver, error) {
	name := c.Driver
	if name == "" || name == autoDriver {
		name = state.Driver
	}
	return pickDriver(ctx, all, name)
}

// ChangesDir is the directory that holds what was changed, in the driver's own form.
func (c *Container) ChangesDir() string {
	state, err := c.State()
	if d := driverNamed(Drivers("", nil), state.Driver); err == nil && d != nil {
		return filepath.Join(c.dir, cow.Describe(d).Dir)
	}
	return c.dir
}

// autoDriver is the name that stands for the first driver that works.
const autoDriver = "auto"

// pickDriver returns the driver with a name, or the first that works on this
// host when the name is empty or "auto".
func pickDriver(ctx context.Context, all []cow.Driver, name string) (cow.Driver, error) {
	if name == "" || name == autoDriver {
		return firstDriver(ctx, all)
	}
	d, err := knownDriver(all, name)
	if err != nil {
		return nil, err
	}
	return d, d.Probe(ctx)
}

// checkDriver refuses the name of a driver that there is not.
func checkDriver(root, name string) error {
	if name == "" || name == autoDriver {
		return nil
	}
	_, err := knownDriver(Drivers(root, slog.New(slog.DiscardHandler)), name)
	return err
}

// knownDriver is the driver of all with a name, whether or not it works here.
func knownDriver(all []cow.Driver, name string) (cow.Driver, error) {
	if d := driverNamed(all, name); d != nil {
		return d, nil
	}
	if u := drivers.Retired(name); u != nil {
		return nil, u
	}
	var names []string
	for _, d := range all {
		names = append(names, d.Name())
	}
	return nil, fmt.Errorf("unknown driver %q (there are: %s)", name, strings.Join(names, ", "))
}

// firstDriver is the first that works and can keep changes.
func firstDriver(ctx context.Context, all []cow.Driver) (cow.Driver, error) {
	var why error
	for _, d := range all {
		if cow.Describe(d).ViewsOnly {
			continue
		}
		err := d.Probe(ctx)
		if err == nil {
			return d, nil
		}
		if why == nil {
			why = err // the reason of the driver people would rather have
		}
	}
	var u *cow.Unusable
	if errors.As(why, &u) {
		return nil, &cow.Unusable{Driver: "no driver works on this host: " + u.Driver, Reason: u.Reason, Hint: u.Hint}
	}
	return nil, fmt.Errorf("no driver works on this host: %w", why)
}

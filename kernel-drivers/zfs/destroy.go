package zfs

import (
	"context"
	"errors"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// doomedProperty marks a dataset that nobody's record names any more.
const doomedProperty = "cfs:doomed"

// moment is how long a dataset that was just unmounted may take to close.
const moment = 2 * time.Second

// destroy destroys a dataset, with its snapshots, and what it was cloned of if that is doomed. One
// that can't be destroyed yet is doomed. That it is not there is no error.
func (d *Driver) destroy(ctx context.Context, dataset string) error {
	if _, err := run(ctx, "set", doomedProperty+"=on", dataset); err != nil {
		return sys.Tolerate(err, errNone)
	}
	d.at("doomed")
	return sys.Tolerate(d.destroyDoomed(ctx, dataset, moment), errCloned, unix.EBUSY)
}

// destroyDoomed destroys a dataset, and then the one that it was cloned of if that is doomed
// and has no other clones.
func (d *Driver) destroyDoomed(ctx context.Context, dataset string, wait time.Duration) error {
	origin, err := get(ctx, "origin", dataset)
	if err != nil {
		return sys.Tolerate(err, errNone)
	}
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		_, err = run(ctx, "destroy", "-r", dataset)
		if !errors.Is(err, unix.EBUSY) || time.Since(start) > wait {
			break
		}
	}
	if err := sys.Tolerate(err, errNone); err != nil {
		return err
	}
	d.at("destroyed")
	below, _, cloned := strings.Cut(origin, "@")
	if !cloned {
		return nil
	}
	switch doomed, err := get(ctx, doomedProperty, below); {
	case err != nil:
		return sys.Tolerate(err, errNone)
	case doomed != "on":
		return nil
	}
	return sys.Tolerate(d.destroyDoomed(ctx, below, wait), errCloned, unix.EBUSY)
}

// sweep destroys what is doomed in the parent, as far as it can be by now.
func (d *Driver) sweep(ctx context.Context) error {
	parent, err := d.parent()
	if err != nil {
		return nil // there is none any more: what was in it is gone, or not to be found
	}
	out, err := run(ctx, "list", "-H", "-r", "-d", "1", "-t", "filesystem", "-o", "name,"+doomedProperty, parent)
	if err != nil {
		return sys.Tolerate(err, errNone)
	}
	for line := range strings.Lines(out) {
		name, doomed, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if doomed != "on" || !strings.HasPrefix(name, parent+"/"+namePrefix) {
			continue
		}
		if err := d.destroyDoomed(ctx, name, 0); sys.Tolerate(err, errCloned, unix.EBUSY) != nil {
			return err
		}
	}
	return nil
}

package imagecmd

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cfs-project/cfs/cow"
)

// ParseStorageOption reads one --storage-opt, of which there is size=SIZE, and
// returns that in bytes.
func ParseStorageOption(option string) (int64, error) {
	value, ok := strings.CutPrefix(option, "size=")
	if !ok {
		return 0, fmt.Errorf("storage option %q is not supported: there is size=SIZE, and cfs driver set for what holds for all containers", option)
	}
	n, err := parseBytes(value)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is not a size such as 10G", value)
	}
	return n, nil
}

// limit bounds what the container may change, if it was made with a bound.
func (c *Container) limit(ctx context.Context, d cow.Driver, s cow.Snapshot) error {
	if c.MaxSize == 0 {
		return nil
	}
	l, ok := d.(cow.Limiter)
	if !ok {
		return &cow.Unusable{
			Driver: d.Name(), Reason: "it can't bound the size of a container (--storage-opt size)",
			Hint: "use overlay2 on xfs or ext4 with project quotas, btrfs with quotas, zfs, or devicemapper (--driver)",
		}
	}
	return l.Limit(ctx, s, c.MaxSize)
}

// DriverOptions are the options of a driver for the store at root.
func DriverOptions(root, driver string) ([]cow.Option, error) {
	d, err := configurer(root, driver)
	if err != nil {
		return nil, err
	}
	return d.Options()
}

// SetDriverOptions changes options of a driver for the store at root, each of them
// NAME=VALUE; an empty value is the default again. Nothing is changed after an error.
func SetDriverOptions(ctx context.Context, root, driver string, options []string) error {
	d, err := configurer(root, driver)
	if err != nil {
		return err
	}
	values := map[string]string{}
	for _, o := range options {
		name, value, ok := strings.Cut(o, "=")
		if !ok || name == "" {
			return fmt.Errorf("%q is not NAME=VALUE", o)
		}
		if _, twice := values[name]; twice {
			return fmt.Errorf("option %s is given twice", name)
		}
		values[name] = value
	}
	return d.SetOptions(ctx, values)
}

// configurer is the driver with a name, whether or not it works here.
func configurer(root, name string) (cow.Configurer, error) {
	d, err := knownDriver(Drivers(root, slog.New(slog.DiscardHandler)), name)
	if err != nil {
		return nil, err
	}
	c, ok := d.(cow.Configurer)
	if !ok {
		return nil, fmt.Errorf("driver %s has no options", name)
	}
	return c, nil
}

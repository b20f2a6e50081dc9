package devicemapper

import (
	"context"
	"strconv"
)

// empty makes a device with an empty filesystem, and its record in dir.
func (d *Driver) empty(ctx context.Context, dir string) error {
	p, err := d.open(ctx)
	if err != nil {
		return err
	}
	err = p.create(ctx, dir, record{Size: p.options.BaseSize, Filesystem: p.options.Filesystem}, nil)
	p.close()
	if err != nil {
		return err
	}
	if err := d.format(ctx, dir); err != nil {
		return err
	}
	d.at("formatted")
	return nil
}

// freeze waits until the device that dir has the record of is not active any more, and so all of it is
// on disk.
func (d *Driver) freeze(ctx context.Context, dir string) error {
	r, err := readRecord(dir)
	if err != nil {
		return err
	}
	name, err := d.deviceName(strconv.FormatUint(uint64(r.Device), 10))
	if err != nil {
		return err
	}
	return d.wait(ctx, name)
}

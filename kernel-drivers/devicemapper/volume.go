package devicemapper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/attach"
	"github.com/cfs-project/cfs/kernel-drivers/internal/dm"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// A volume is the filesystem of a device, mounted, but attached nowhere unless
// somebody attaches it. The device goes with its last mount.
type volume struct {
	*attach.Detached
	name string // of the device
	info dm.Info
	room int64  // free in the pool when it was mounted, in bytes
	gone func() // waits until the device is not active any more
}

// Attach attaches it at target and calls end when it is there no more, nor active.
func (v *volume) Attach(target string, end func()) (*attach.Mounted, error) {
	return v.Detached.Attach(target, func() {
		v.gone()
		end()
	})
}

// active is the device that dir has the record of, which is the caller's to close.
type active struct {
	record
	*os.File
	name    string
	info    dm.Info
	options Options
	room    int64 // free in the pool, in bytes
}

// active activates it.
func (d *Driver) active(ctx context.Context, dir string, readOnly bool) (*active, error) {
	r, err := readRecord(dir)
	if err != nil {
		return nil, err
	}
	p, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	defer p.close()
	a := &active{record: r, name: p.thin(r.Device), options: p.options}
	if a.room, err = p.free(); err != nil {
		return nil, err
	}
	if a.File, a.info, err = p.activateThin(ctx, r, readOnly); err != nil {
		return nil, err
	}
	return a, nil
}

// volume mounts the device that dir has the record of, with MOUNT_ATTR_* flags. All
// mounts of one device share a filesystem, which is read-only or not for all.
func (d *Driver) volume(ctx context.Context, dir string, readOnly bool, attr int) (*volume, error) {
	a, err := d.active(ctx, dir, readOnly)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	mounted, err := a.mount(readOnly, attr)
	if err != nil {
		return nil, err
	}
	v := &volume{Detached: mounted, name: a.name, info: a.info, room: a.room, gone: func() { d.gone(a.name) }}
	if !readOnly && a.Filesystem == "ext4" {
		if err := v.reserve(a.record); err != nil {
			v.Close()
			return nil, err
		}
	}
	return v, nil
}

// mount mounts what is on it, attached nowhere.
func (a *active) mount(readOnly bool, attr int) (*attach.Detached, error) {
	disk, fstype := a.info.Path(), a.Filesystem
	set := [][2]string{{"source", disk}}
	if fstype == "xfs" {
		set = append(set, [2]string{"nouuid", ""}) // that of every snapshot is the same
	}
	if readOnly {
		set = append(set, [2]string{"ro", ""})
	} else {
		if fstype == "ext4" {
			set = append(set, [2]string{"noinit_itable", ""}) // which takes blocks of the pool for inodes that nobody has
		}
		for o := range strings.SplitSeq(a.options.MountOptions, ",") {
			if key, value, _ := strings.Cut(o, "="); key != "" {
				set = append(set, [2]string{key, value})
			}
		}
	}
	m, err := attach.Mount(fstype, set, attr)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", disk, err)
	}
	return m, nil
}

// format makes the filesystem of the device that dir has the record of.
func (d *Driver) format(ctx context.Context, dir string) error {
	a, err := d.active(ctx, dir, false)
	if err != nil {
		return err
	}
	defer a.Close()
	args := []string{"-q", "-K"} // the device is new: there is nothing to discard
	if a.Filesystem == "ext4" {
		// Tables and the journal are not zeroed, which would take blocks; the kernel zeroes what it uses.
		args = []string{"-q", "-m", "0", "-J", "size=32", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"}
	}
	args = append(append(args, strings.Fields(a.options.MkfsArgs)...), a.info.Path())
	program, err := sys.Program("mkfs." + a.Filesystem)
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.%s on %s: %w: %s", a.Filesystem, a.name, err, bytes.TrimSpace(out))
	}
	if a.Filesystem != "ext4" {
		return nil
	}
	// What e2fsck makes again if it needs it is nothing that an image has.
	m, err := a.mount(false, 0)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := unix.Unlinkat(m.FD, "lost+found", unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove lost+found: %w", err)
	}
	return nil
}

// gone waits until a device is not active any more that was just unmounted, and the
// pool if it was the last: but not for others who have it mounted.
func (d *Driver) gone(name string) {
	control, err := dm.Open()
	if err != nil {
		return
	}
	defer control.Close()
	pool, err := d.deviceName(poolName)
	if err != nil {
		return // the home is gone
	}
	for _, name := range []string{name, pool} {
		const moment = 2 * time.Second
		for start := time.Now(); time.Since(start) < moment; time.Sleep(time.Millisecond) {
			info, err := control.Info(name)
			if err != nil || info.Open > 0 && time.Since(start) > moment/10 {
				break
			}
		}
	}
}

package devicemapper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/dm"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// stateName is the file in the pool's directory that says which numbers are taken.
const stateName = "state.json"

// maxDevice is the highest number that a thin device can have: it has 24 bits
// (Documentation/admin-guide/device-mapper/thin-provisioning.rst).
const maxDevice = 1<<24 - 1

// state is what is known of the numbers of devices. It is on disk before the pool
// is told anything.
type state struct {
	Next uint32 `json:"next"` // the number to try next
	// Making is a device that may have been made, but is nobody's until the record in
	// Owner names it.
	Making *making `json:"making,omitempty"`
	// Doomed are devices to delete, which nobody's record names any more.
	Doomed []doomed `json:"doomed,omitempty"`
}

type making struct {
	doomed
	Owner string `json:"owner"` // the directory of the record
}

type doomed struct {
	Device uint32 `json:"device"`
	Size   int64  `json:"size"` // bytes
}

func (p *pool) save() error { return sys.WriteJSON(filepath.Join(p.dir, stateName), p.state) }

// settle finishes what a process was killed in, and deletes what could not be deleted
// before.
func (p *pool) settle(ctx context.Context) error {
	if m := p.state.Making; m != nil {
		if r, err := readRecord(m.Owner); err != nil || r.Device != m.Device {
			p.state.Doomed = append(p.state.Doomed, m.doomed)
		}
		p.state.Making = nil
		if err := p.save(); err != nil {
			return err
		}
	}
	return p.deleteDoomed(ctx, 0)
}

// create makes a device, an empty one or a snapshot of another, and writes the record
// of it, r with its number, into the directory owner.
func (p *pool) create(ctx context.Context, owner string, r record, of *uint32) error {
	if err := p.checkRoom(); err != nil {
		return err
	}
	for {
		r.Device = p.state.Next
		p.state.Next = (p.state.Next + 1) % (maxDevice + 1)
		p.state.Making = &making{doomed{r.Device, r.Size}, owner}
		if err := p.save(); err != nil {
			return err
		}
		p.at("number")
		message := fmt.Sprintf("create_thin %d", r.Device)
		if of != nil {
			// A base that is active need not be suspended: it is read-only, so no write is on its way.
			message = fmt.Sprintf("create_snap %d %d", r.Device, *of)
		}
		err := p.control.Message(p.name, message)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	p.at("made")
	if err := r.write(owner); err != nil {
		return err
	}
	p.at("recorded")
	p.state.Making = nil
	return p.save()
}

// delete deletes the device of a record after forget has removed that. From the
// first line on it will be deleted, by this process or the next.
func (p *pool) delete(ctx context.Context, r record, forget func() error) error {
	p.state.Doomed = append(p.state.Doomed, doomed{r.Device, r.Size})
	if err := p.save(); err != nil {
		return err
	}
	p.at("doomed")
	if err := forget(); err != nil {
		return err
	}
	p.at("forgotten")
	return p.deleteDoomed(ctx, moment)
}

// moment is how long a device that was just unmounted may take to close.
const moment = 200 * time.Millisecond

// deleteDoomed deletes what is to be deleted, but for what somebody still has open when it has
// been waited for.
func (p *pool) deleteDoomed(ctx context.Context, wait time.Duration) error {
	if len(p.state.Doomed) == 0 {
		return nil
	}
	var left []doomed
	for _, device := range p.state.Doomed {
		gone, err := p.deleteNow(ctx, device, wait)
		if err != nil {
			return err
		}
		if !gone {
			left = append(left, device)
		}
	}
	p.at("deleted")
	if slices.Equal(left, p.state.Doomed) {
		return nil
	}
	p.state.Doomed = left
	return p.save()
}

// deleteNow deletes a device; false means that somebody has it open. That it is not
// there is no error.
func (p *pool) deleteNow(ctx context.Context, device doomed, wait time.Duration) (bool, error) {
	name := p.thin(device.Device)
	if !p.deactivate(ctx, name, wait) {
		return false, nil
	}
	if p.options.DataDevice == "" {
		if err := p.discard(ctx, device); err != nil {
			return false, err
		}
		if !p.deactivate(ctx, name, moment) {
			return false, nil
		}
	}
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		// One that is gone by name may not be closed yet.
		err := p.control.Message(p.name, fmt.Sprintf("delete %d", device.Device))
		if !errors.Is(err, unix.EBUSY) {
			return err == nil || errors.Is(err, unix.ENODATA), sys.Tolerate(err, unix.ENODATA)
		}
		if time.Since(start) > moment {
			return false, nil
		}
	}
}

// deactivate removes a device that may be active, and waits for one that somebody has open.
// It tells whether it is gone.
func (p *pool) deactivate(ctx context.Context, name string, wait time.Duration) bool {
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		err := p.control.Remove(name, false)
		if err == nil || errors.Is(err, dm.ErrNone) {
			return true
		}
		if ctx.Err() != nil || time.Since(start) > wait {
			return false
		}
	}
}

// discard gives the blocks of a device back to the filesystem that the pool's file is
// on. The pool itself frees them when the device is deleted, but tells nobody below.
func (p *pool) discard(ctx context.Context, device doomed) error {
	f, info, err := p.activateThin(ctx, record{Device: device.Device, Size: device.Size}, false)
	if err != nil {
		return sys.Tolerate(err, unix.ENODATA) // there is no such device
	}
	defer f.Close()
	disk, err := os.OpenFile(info.Path(), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer disk.Close()
	bytes := [2]uint64{0, uint64(device.Size)}
	err = sys.Ioctl(int(disk.Fd()), unix.BLKDISCARD, unsafe.Pointer(&bytes))
	return sys.Tolerate(err, unix.EOPNOTSUPP) // the filesystem makes no holes
}

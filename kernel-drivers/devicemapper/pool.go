package devicemapper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/dm"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

// poolName is the directory below home that has the pool's files.
const poolName = "pool"

// A pool is the thin pool, locked and active, until close.
type pool struct {
	dir     string // of its files
	name    string // of its device
	options Options
	state   state
	control *dm.Control
	device  *os.File // keeps it active
	info    dm.Info
	unlock  func()
	at      func(step string) // see Driver
}

// open locks the pool and activates it; it is made if it isn't there. What a process
// was killed in is finished first.
func (d *Driver) open(ctx context.Context) (*pool, error) {
	p := &pool{dir: filepath.Join(d.Home, poolName), at: d.at}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if p.unlock, err = (tree.Group{Dir: p.dir}).Lock(ctx); err != nil {
		return nil, err
	}
	if err := p.start(ctx, d); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pool) start(ctx context.Context, d *Driver) error {
	var err error
	if p.options, err = d.options(); err != nil {
		return err
	}
	if err := sys.ReadJSON(filepath.Join(p.dir, stateName), &p.state); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if p.name, err = d.deviceName(poolName); err != nil {
		return err
	}
	if p.control, err = dm.Open(); err != nil {
		return err
	}
	if err := p.activatePool(ctx); err != nil {
		return err
	}
	return p.settle(ctx)
}

// keep has the pool active until the file that it returns is closed, for who needs it
// several times. Others may use it meanwhile.
func (d *Driver) keep(ctx context.Context) (*os.File, error) {
	p, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	f := p.device
	p.device = nil
	p.close()
	return f, nil
}

// close gives up the pool. It stays active as long as devices of it are.
func (p *pool) close() {
	if p.device != nil {
		p.device.Close()
	}
	if p.control != nil {
		p.control.Close()
	}
	p.unlock()
}

// deviceName is the name of a device of this store's: no other directory has the
// same number on the same filesystem.
func (d *Driver) deviceName(what string) (string, error) {
	dir := filepath.Join(d.Home, poolName)
	var st unix.Stat_t
	if err := sys.Again(func() error { return unix.Stat(dir, &st) }); err != nil {
		return "", fmt.Errorf("stat %s: %w", dir, err)
	}
	return fmt.Sprintf("cfs-%d:%d-%d-%s", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino, what), nil
}

// thin is the name of a thin device while it is active.
func (p *pool) thin(device uint32) string {
	return fmt.Sprintf("%s%d", p.name[:len(p.name)-len(poolName)], device)
}

// activatePool opens the pool's device, which it makes if it isn't there.
func (p *pool) activatePool(ctx context.Context) error {
	var err error
	p.device, p.info, err = p.activate(ctx, p.name, p.makePool)
	if err != nil {
		return err
	}
	if err := p.grow(); err != nil {
		return err
	}
	return p.check()
}

// activateThin opens the device that r names. It is the caller's to close, and
// gone then, unless somebody else has it open or mounted.
func (p *pool) activateThin(ctx context.Context, r record, readOnly bool) (*os.File, dm.Info, error) {
	name := p.thin(r.Device)
	table := dm.Target{
		Length: r.Size / dm.Sector, Type: "thin",
		Params: fmt.Sprintf("%d:%d %d", p.info.Major, p.info.Minor, r.Device),
	}
	load := func() error { return p.control.Load(name, table, readOnly) }
	f, info, err := p.activate(ctx, name, load)
	if err != nil {
		return nil, info, err
	}
	if info.ReadOnly != readOnly {
		f.Close()
		return nil, info, fmt.Errorf("device mapper: %s is in use in another way: %w", name, unix.EBUSY)
	}
	has, err := p.control.Table(name)
	if err == nil && has.Length != table.Length { // killed while it grew
		err = p.reload(name, load)
	}
	if err != nil {
		f.Close()
		return nil, info, err
	}
	return f, info, nil
}

// reload gives an active device another table.
func (p *pool) reload(name string, load func() error) error {
	if err := load(); err != nil {
		return err
	}
	if err := p.control.Suspend(name); err != nil {
		return err
	}
	p.at("suspended") // killed here: see activate
	return p.control.Resume(name)
}

// patience is how long a device that is going is waited for, or one that another
// process looks at.
const patience = 20 * time.Second

// activate opens the device with a name, and has it go when nobody has it open any more.
// If there is none it is made with the table that load gives it. What others have not
// finished, as they were killed, is finished or made again.
func (p *pool) activate(ctx context.Context, name string, load func() error) (f *os.File, info dm.Info, err error) {
	busy := fmt.Errorf("device mapper: %s can't be had: %w", name, unix.EBUSY)
	err = p.until(ctx, func() (bool, error) {
		info, err = p.control.Info(name)
		switch {
		case errors.Is(err, dm.ErrNone):
			err = p.make(name, load)
			if errors.Is(err, unix.EBUSY) {
				busy = err // the last one of this name is going, and has its disks yet
				return false, nil
			}
			return false, err
		case err != nil:
			return false, err
		case !info.HasTable: // its maker was killed
			return false, sys.Tolerate(p.control.Remove(name, false), unix.EBUSY, dm.ErrNone)
		case info.Suspended:
			return false, p.control.Resume(name)
		}
		// It may be about to go: then it can't be opened, or is another one.
		f, err = os.Open(info.Path())
		if err != nil {
			busy = err // for good where no devtmpfs is on /dev
			return false, sys.Tolerate(err, unix.ENXIO, unix.ENOENT, unix.ENODEV)
		}
		if is, err := p.control.Info(name); err != nil || is.Minor != info.Minor {
			f.Close()
			return false, sys.Tolerate(err, dm.ErrNone)
		}
		if err := p.control.Remove(name, true); err != nil {
			f.Close()
			return false, sys.Tolerate(err, dm.ErrNone)
		}
		return true, nil
	})
	if errors.Is(err, errImpatient) {
		err = busy
	}
	return f, info, err
}

// make makes a device. Killed on the way it leaves one without a table.
func (p *pool) make(name string, load func() error) error {
	if err := p.control.Create(name, "CFS-"+name); err != nil {
		return err
	}
	p.at("named")
	err := load()
	p.at("loaded")
	if err == nil {
		err = p.control.Resume(name)
	}
	if err != nil {
		p.control.Remove(name, false)
	}
	p.at("active")
	return err
}

var errImpatient = errors.New("it takes too long")

// until repeats try until it is done, fails, or has no patience any more.
func (p *pool) until(ctx context.Context, try func() (bool, error)) error {
	for start := time.Now(); ; {
		done, err := try()
		if done || err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Since(start) > patience {
			return errImpatient
		}
		time.Sleep(time.Millisecond)
	}
}

// wait returns when a device is not active any more.
func (d *Driver) wait(ctx context.Context, name string) error {
	control, err := dm.Open()
	if err != nil {
		return err
	}
	defer control.Close()
	p := &pool{control: control}
	err = p.until(ctx, func() (bool, error) {
		_, err := control.Info(name)
		return errors.Is(err, dm.ErrNone), sys.Tolerate(err, dm.ErrNone)
	})
	if errors.Is(err, errImpatient) {
		err = fmt.Errorf("device mapper: %s is still in use: %w", name, unix.EBUSY)
	}
	return err
}

package unionfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
)

// Names below [cow.Snapshot.Dir].
const (
	upperSub = "upper"
	workSub  = "work"
)

// Driver is the union as a [cow.Driver], named "union".
type Driver struct{ log *slog.Logger }

// NewDriver returns the driver. log is told what a person may want to know
// later; nil is silence.
func NewDriver(log *slog.Logger) *Driver {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Driver{log: log}
}

// Name implements [cow.Driver].
func (d *Driver) Name() string { return DriverName }

// Probe implements [cow.Driver]: whether /dev/fuse opens, and whether this
// process may mount, or has a helper that may.
func (d *Driver) Probe(context.Context) error {
	fd, err := openFuse()
	if err != nil {
		return err
	}
	unix.Close(fd)
	priv, err := privileges()
	if err != nil {
		return &cow.Unusable{Driver: DriverName, Reason: fmt.Sprintf("capabilities: %v", err)}
	}
	if priv.sysAdmin {
		return nil
	}
	_, err = fusermount()
	return err
}

func (d *Driver) dirs(s cow.Snapshot) (upper, work string) {
	return filepath.Join(s.Dir, upperSub), filepath.Join(s.Dir, workSub)
}

// Create implements [cow.Driver]: an upper directory that is the chain's root,
// with nothing in it, and a work directory.
func (d *Driver) Create(_ context.Context, s cow.Snapshot) error {
	upper, work := d.dirs(s)
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("union: %w", err)
		}
	}
	index, err := openIndex(s.Base)
	if err != nil {
		return err
	}
	// Nothing is read of files, nor written to one: the tars stay closed, and whether files of
	// the upper can be partial is for the mount to find out.
	u, err := New(Options{Index: index, noData: true, Upper: upper, Work: work, NoMetacopy: true, NoPartial: true})
	if err != nil {
		return err
	}
	return errors.Join(u.dressRoot(), u.Close())
}

// Mount implements [cow.Driver].
func (d *Driver) Mount(_ context.Context, s cow.Snapshot, target string, o cow.MountOptions) (cow.Mount, error) {
	opts, err := openBase(s.Base)
	if err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		opts.Upper, opts.Work = d.dirs(s)
	}
	u, err := New(opts)
	if err != nil {
		return nil, err
	}
	srv, err := Mount(u, target, MountOptions{
		AllowOther: o.AllowOther, Suid: o.Suid, Dev: o.Dev, Source: o.Source, ReadOnly: o.ReadOnly,
	})
	if err != nil {
		return nil, errors.Join(err, u.Close())
	}
	d.log.Debug("mounted", "driver", DriverName, "target", target, "layers", len(s.Base.Layers), "readonly", o.ReadOnly)
	return srv, nil
}

// openBase opens a chain's index and the tars of its layers.
func openBase(c cow.Chain) (_ Options, err error) {
	var o Options
	defer func() {
		if err != nil {
			for _, t := range o.Tars {
				t.Close()
			}
			if o.Index != nil {
				o.Index.Close()
			}
		}
	}()
	if o.Index, err = openIndex(c); err != nil {
		return o, err
	}
	for _, l := range c.Layers {
		t, err := openTar(l.Tar())
		if err != nil {
			return o, fmt.Errorf("union: layer %s: %w", l.DiffID, err)
		}
		o.Tars = append(o.Tars, t)
	}
	return o, nil
}

// openIndex opens a chain's index, which must be of these layers.
func openIndex(c cow.Chain) (*layerpack.Index, error) {
	index, err := layerpack.OpenIndex(c.Index)
	if err != nil {
		return nil, fmt.Errorf("union: %w", err)
	}
	ids := index.Layers()
	if len(ids) != len(c.Layers) {
		err = fmt.Errorf("union: index %s has %d layers, its chain %d: %w", c.Index, len(ids), len(c.Layers), layerpack.ErrCorrupt)
	}
	for i := 0; i < len(ids) && err == nil; i++ {
		if want := c.Layers[i].DiffID; ids[i] != want {
			err = fmt.Errorf("union: index %s: layer %d is %s, its chain has %s: %w", c.Index, i, ids[i], want, layerpack.ErrCorrupt)
		}
	}
	if err != nil {
		return nil, errors.Join(err, index.Close())
	}
	return index, nil
}

// openTar is os.Open without what that finds out of each file first, whether it could be
// waited for: an image may have many.
func openTar(path string) (*os.File, error) {
	var fd int
	err := eintr(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Remove implements [cow.Driver]. What an ordinary user cannot enter is made
// enterable first.
func (d *Driver) Remove(_ context.Context, s cow.Snapshot) error {
	dir, err := openDirPath(unix.AT_FDCWD, s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("union: %s: %w", s.Dir, err)
	}
	defer unix.Close(dir)
	for _, name := range []string{upperSub, workSub} {
		if err := removeTree(dir, name); err != nil {
			return fmt.Errorf("union: %s/%s: %w", s.Dir, name, err)
		}
	}
	return nil
}

func removeTree(dirfd int, name string) error {
	fd, err := openDirPath(dirfd, name)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := clearDir(fd); err != nil {
		return err
	}
	return unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR)
}

var _ cow.Driver = (*Driver)(nil)
var _ cow.Mount = (*Server)(nil)

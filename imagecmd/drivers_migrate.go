package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// migrateStage is argv[0] of the process that moves a container to another driver. It
// has a mount namespace of its own: what it mounts goes with it.
const migrateStage = "cfs-migrate"

type migrateRequest struct {
	Root     string // of the store
	ID       string // of the container
	To       string // driver
	Chain    cow.Chain
	Rootless bool
}

// MigrateContainer moves a container that has ended, or a mount that is not
// mounted, to another driver, with its changes. Killed at any line, the container
// is whole on one of the two. It fails with ErrNoContainer or ErrRunning.
func MigrateContainer(ctx context.Context, st *store.Store, name, to string) error {
	c, err := OpenContainers(st.Root()).Find(name)
	if err != nil {
		return err
	}
	if c.ReadOnly {
		return fmt.Errorf("%s is a read-only mount, and has no changes", c.Label())
	}
	if c.Running() {
		return fmt.Errorf("%w: %s", ErrRunning, name)
	}
	chain, release, err := st.ChainOf(ctx, c.Layers)
	if err != nil {
		return err
	}
	defer release()
	mapping, _ := userns.Detect()
	payload, err := json.Marshal(migrateRequest{Root: st.Root(), ID: c.ID, To: to, Chain: chain, Rootless: !mapping.Privileged()})
	if err != nil {
		return err
	}
	_, err = runStage(mapping, migrateStage, payload)
	return err
}

func migrateMain(l *stage.Link, payload []byte) int {
	var req migrateRequest
	err := json.Unmarshal(payload, &req)
	if err == nil {
		c := &Container{dir: filepath.Join(OpenContainers(req.Root).dir(), req.ID)}
		if err = readJSON(filepath.Join(c.dir, containerConfig), c); err == nil {
			err = c.migrate(l.Context(), req)
		}
	}
	return stageStatus(err)
}

func (c *Container) migrate(ctx context.Context, req migrateRequest) error {
	if err := c.hold(); err != nil {
		return err
	}
	defer c.close()
	if err := c.reread(); err != nil {
		return err
	}
	// Whoever reads the changes has this locked.
	reading, err := tryLock(filepath.Join(c.dir, containerRootfs), unix.LOCK_EX)
	if err != nil {
		return fmt.Errorf("container %s: %w", c.ShortID(), err)
	}
	defer reading.Close()
	state, err := c.State()
	if err != nil {
		return err
	}
	all := Drivers(req.Root, slog.New(slog.DiscardHandler))
	to, err := pickDriver(ctx, all, req.To)
	if err != nil {
		return err
	}
	snap := c.snapshot(req.Chain)
	switch from := driverNamed(all, state.Driver); {
	case state.Driver == "" || state.Driver == to.Name(): // nothing to move
	case from == nil:
		return fmt.Errorf("its changes are kept by driver %q, which this cfs does not have", state.Driver)
	case cow.Describe(from).Upper && cow.Describe(to).Upper:
		err = c.handOver(ctx, all, to, state, snap)
	default:
		err = c.transfer(ctx, req, from, to, state)
	}
	if err != nil {
		return err
	}
	if c.Driver == to.Name() {
		return nil
	}
	return c.amend(func(c *Container) { c.Driver = to.Name() })
}

// transfer makes a snapshot of to beside that of from, applies the changes to it,
// and then gives up the old one. The two keep nothing under the same name.
func (c *Container) transfer(ctx context.Context, req migrateRequest, from, to cow.Driver, state State) (err error) {
	snap := c.snapshot(req.Chain)
	// What a transfer that was killed left.
	if err := to.Remove(ctx, snap); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, to.Remove(context.WithoutCancel(ctx), snap))
		}
	}()
	if err := to.Create(ctx, snap); err != nil {
		return err
	}
	if err := c.limit(ctx, to, snap); err != nil {
		return err
	}
	if err := c.copyChanges(ctx, req, from, to); err != nil {
		return err
	}
	state.Driver = to.Name()
	if err := c.setState(state); err != nil {
		return err
	}
	return from.Remove(ctx, snap) // its leftovers go with the container
}

// copyChanges mounts both snapshots and has another process copy: one that serves a
// mount must not use it, as it would wait for its own answer when it is killed.
func (c *Container) copyChanges(ctx context.Context, req migrateRequest, from, to cow.Driver) (err error) {
	at := filepath.Join(c.dir, containerRootfs)
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64k,mode=700"); err != nil {
		return fmt.Errorf("mount points for the two drivers: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(at, unix.UMOUNT_NOFOLLOW)) }()
	apply := applyRequest{
		Root: req.Root, Driver: from.Name(), Snapshot: c.snapshot(req.Chain), Rootless: req.Rootless,
		From: filepath.Join(at, "from"), To: filepath.Join(at, "to"),
	}
	for dir, d := range map[string]cow.Driver{apply.From: from, apply.To: to} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		m, err := d.Mount(ctx, apply.Snapshot, dir, cow.MountOptions{AllowOther: true, Suid: true, Dev: true})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, m.Unmount()) }()
	}
	payload, err := json.Marshal(apply)
	if err != nil {
		return err
	}
	_, err = runStage(userns.Mapping{}, applyStage, payload)
	return err
}

// applyStage is argv[0] of the process that copies changes from one mounted
// snapshot to another.
const applyStage = "cfs-apply"

type applyRequest struct {
	Root     string // of the store
	Driver   string // that has the changes
	Snapshot cow.Snapshot
	From, To string // where the two are mounted
	Rootless bool
}

func applyMain(l *stage.Link, payload []byte) int {
	var req applyRequest
	err := json.Unmarshal(payload, &req)
	if err == nil {
		err = req.apply(l.Context())
	}
	return stageStatus(err)
}

func (r applyRequest) apply(ctx context.Context) error {
	from := driverNamed(Drivers(r.Root, slog.New(slog.DiscardHandler)), r.Driver)
	if err := cow.Apply(ctx, r.To, from.Diff(ctx, r.Snapshot), r.Rootless); err != nil {
		return err
	}
	if err := r.directories(); err != nil {
		return err
	}
	to, err := os.Open(r.To)
	if err != nil {
		return err
	}
	defer to.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(to.Fd())))
}

// directories gives those of the new tree what no diff lists: their times, and
// the attributes of the root.
func (r applyRequest) directories() error {
	var st unix.Stat_t
	if err := unix.Stat(r.From, &st); err != nil {
		return err
	}
	if err := unix.Chown(r.To, int(st.Uid), int(st.Gid)); err != nil && !r.Rootless {
		return &fs.PathError{Op: "chown", Path: r.To, Err: err}
	}
	if err := unix.Chmod(r.To, st.Mode&0o7777); err != nil {
		return &fs.PathError{Op: "chmod", Path: r.To, Err: err}
	}
	return filepath.WalkDir(r.From, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(r.From, name)
		if err != nil {
			return err
		}
		var was, is unix.Stat_t
		if err := unix.Lstat(name, &was); err != nil {
			return &fs.PathError{Op: "lstat", Path: name, Err: err}
		}
		other := filepath.Join(r.To, rel)
		if err := unix.Lstat(other, &is); err != nil {
			return &fs.PathError{Op: "lstat", Path: other, Err: err}
		}
		if was.Mtim == is.Mtim {
			return nil
		}
		ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, was.Mtim}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, other, ts, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &fs.PathError{Op: "utimensat", Path: other, Err: err}
		}
		return nil
	})
}

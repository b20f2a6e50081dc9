package imagecmd

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// waits tells whether a container was made to be started later, and was not yet.
func (c *Container) waits() bool {
	if !c.Kept {
		return false
	}
	s, err := c.State()
	return err != nil || s.Started.IsZero()
}

// doomed tells whether a container is to go with its process, or its removal has begun.
func (c *Container) doomed() bool { return c.AutoRemove && !c.waits() || c.going() }

// left tells whether a container was to go, and the process that was to do it was killed.
// Nobody has it; it is removed when somebody sweeps.
func (c *Container) left() bool { return c.doomed() && !c.Running() }

// sweepLeft removes the containers that are left, an ordinary user's in a stage each. One that can't be removed is nobody's still, and the next
// container's monitor says why.
func (cs Containers) sweepLeft(ctx context.Context) {
	all, err := cs.withLeft()
	if err != nil {
		return // which whoever lists the others says
	}
	for _, c := range all {
		if c.left() {
			_ = removeRequest{Root: cs.root, Name: c.ID}.send(ctx, c, slog.New(slog.DiscardHandler))
		}
	}
}

// sweep removes what killed processes left: directories half made or half
// removed, and containers that were to go.
func (cs Containers) sweep(ctx context.Context, drivers []cow.Driver) error {
	names, err := cs.lockNames() // nobody is making one
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer names.Close()
	entries, err := os.ReadDir(cs.dir())
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		name, dir := e.Name(), filepath.Join(cs.dir(), e.Name())
		if strings.HasPrefix(name, ".new-") || strings.HasPrefix(name, ".gone-") {
			if lock, err := tryLock(dir, unix.LOCK_EX); err == nil {
				errs = append(errs, os.RemoveAll(dir))
				lock.Close()
			}
		}
	}
	errs = append(errs, OpenVolumes(cs.root).sweep())
	all, err := cs.withLeft()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	names.Close() // who removes a volume takes it
	for _, c := range all {
		if !c.doomed() {
			errs = append(errs, c.sweepGroup())
			continue
		}
		// Not hold, which waits a little: nearly all of these live.
		if c.lock, err = tryLock(c.dir, unix.LOCK_EX); err == nil {
			errs = append(errs, c.remove(ctx, drivers))
			c.close()
		}
	}
	return errors.Join(errs...)
}

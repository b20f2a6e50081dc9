package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/runtime/userns"
)

// A reading is a container while what it has changed is being read. It may run
// or be mounted meanwhile; it is not removed before the reading ends.
type reading struct {
	c       *Container
	running bool
	live    live // zero if it does not run a process
	change  changeRequest
	mapping userns.Mapping // whose root may read the change
	direct  bool           // this process may, or nobody else is there to do it
	lock    *os.File
	release func() // of the chain
}

// changeRequest says where a container's change is: what a stage is told that
// reads it.
type changeRequest struct {
	Root     string // of the store
	Driver   string // that has the change; empty: nothing has ever been written
	Snapshot cow.Snapshot
	Process  bool // something may have run in it: see withoutMountPoints
	Places   mountPlaces
}

// openReading finds a container and makes sure of what its change lies on. The
// caller closes it.
func openReading(ctx context.Context, st *store.Store, name string) (*reading, error) {
	c, err := OpenContainers(st.Root()).Find(name)
	if err != nil {
		return nil, err
	}
	r, err := readingOf(ctx, st, c)
	if err != nil {
		return nil, err
	}
	// Of a container that ran and is mounted now, live.json is what is left of the run.
	if r.running = c.Running(); r.running && c.MountedAt == "" {
		if r.live = c.readLive(); r.live.Driver != "" && !c.ReadOnly {
			r.change.Driver = r.live.Driver
		}
	}
	return r, nil
}

// readingOf is the reading of a container of which nothing runs.
func readingOf(ctx context.Context, st *store.Store, c *Container) (r *reading, err error) {
	r = &reading{c: c, release: func() {}}
	begun := r // with an error there is no r
	var problems []userns.Problem
	r.mapping, problems = userns.Detect()
	// Where no namespaces can be made, what was changed is the user's own.
	r.direct = r.mapping.Privileged() || slices.ContainsFunc(problems, func(p userns.Problem) bool { return p.Fatal })
	defer func() {
		if err != nil {
			begun.close()
		}
		if err != nil && !errors.Is(err, ErrNoContainer) {
			err = fmt.Errorf("container %s: %w", c.Label(), err)
		}
	}()
	if r.lock, err = c.lockReading(unix.LOCK_SH); errors.Is(err, fs.ErrNotExist) {
		return nil, &noContainer{c.Label()} // removed meanwhile
	} else if err != nil {
		return nil, err
	}
	chain, release, err := st.ChainOf(ctx, c.Layers)
	if err != nil {
		return nil, err
	}
	r.release = release
	state, err := c.State()
	if err != nil {
		return nil, err
	}
	r.change = changeRequest{
		Root: st.Root(), Driver: state.Driver, Snapshot: c.snapshot(chain), Process: len(c.Command) > 0, Places: c.Places,
	}
	if c.ReadOnly {
		r.change.Driver = ""
	}
	return r, nil
}

// close ends the reading.
func (r *reading) close() {
	r.release()
	if r.lock != nil {
		r.lock.Close()
	}
}

// driver is the driver that has the change; nil if there is none.
func (q changeRequest) driver() (cow.Driver, error) {
	if q.Driver == "" {
		return nil, nil
	}
	for _, d := range Drivers(q.Root, slog.New(slog.DiscardHandler)) {
		if d.Name() == q.Driver {
			return d, nil
		}
	}
	return nil, fmt.Errorf("it was changed with driver %s, which this cfs does not have", q.Driver)
}

// lockReading takes the lock of those who read the container's change, shared,
// or of who removes it, exclusive, and waits for it. It is on the directory that
// the root is mounted on, as the lock of the container's own says who lives in it.
// It fails with fs.ErrNotExist once the removal has begun.
func (c *Container) lockReading(how int) (*os.File, error) {
	return lockDir(c.path(containerRootfs), how)
}

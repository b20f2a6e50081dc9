package erofs

import (
	"context"
	"fmt"
	"iter"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/attach"
	"github.com/cfs-project/cfs/kernel-drivers/internal/packed"
)

// Name is what the driver is called.
const Name = "erofs"

// Driver mounts chains read-only. It implements cow.Driver, and keeps nothing on disk.
type Driver struct {
	store string // immutable; the directory of what is mounted, for Probe
}

var _ cow.Driver = Driver{}

// New is the driver for a store at an absolute path, where nothing is made or
// looked at yet.
func New(store string) Driver { return Driver{store: store} }

// Name implements cow.Driver.
func (Driver) Name() string { return Name }

// Probe implements cow.Driver.
func (d Driver) Probe(context.Context) error {
	u := packed.Probe(d.store)
	if u == nil {
		return nil
	}
	u.Driver = Name
	return u
}

// errReadOnly is why there are no snapshots.
var errReadOnly = &cow.Unusable{
	Driver: Name, Reason: "it mounts images read-only, and keeps no changes",
	Hint: "use overlay2 for changes at the kernel's speed, or union (--driver)",
}

// Create implements cow.Driver: it fails with a *cow.Unusable that says what to
// use instead.
func (Driver) Create(context.Context, cow.Snapshot) error { return errReadOnly }

// Mount implements cow.Driver, for read-only views.
func (Driver) Mount(_ context.Context, s cow.Snapshot, target string, o cow.MountOptions) (cow.Mount, error) {
	if !o.ReadOnly {
		return nil, errReadOnly
	}
	m, err := mount(s.Base, target, o)
	if err != nil {
		return nil, fmt.Errorf("mount at %s: %w", target, err)
	}
	return m, nil
}

func mount(c cow.Chain, target string, o cow.MountOptions) (*attach.Mounted, error) {
	fd, err := packed.Mount(c, attach.Attr(o))
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return nil, fmt.Errorf("move_mount: %w", err)
	}
	m, err := attach.Watch(target, func() {})
	if err != nil {
		unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
		return nil, err
	}
	return m, nil
}

// Changes implements cow.Driver: there are none.
func (Driver) Changes(context.Context, cow.Snapshot) iter.Seq2[cow.Change, error] {
	return func(func(cow.Change, error) bool) {}
}

// Diff implements cow.Driver: there is none.
func (Driver) Diff(context.Context, cow.Snapshot) iter.Seq2[cow.Entry, error] {
	return func(func(cow.Entry, error) bool) {}
}

// Remove implements cow.Driver. There is nothing to remove.
func (Driver) Remove(context.Context, cow.Snapshot) error { return nil }

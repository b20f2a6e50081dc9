package overlay2

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

// Name is what the driver is called.
const Name = "overlay2"

// Names in Snapshot.Dir.
const (
	upperName = "upper"
	upperTemp = "upper.new" // until it has the root's attributes
	workName  = "work"
	bootName  = "volatile" // see settleVolatile
)

// Driver is the kernel's overlayfs as a cow.Driver.
type Driver struct {
	home string       // immutable; made when first needed
	log  *slog.Logger // immutable

	noPacked bool // immutable; trees always, for tests
}

var (
	_ cow.Driver    = (*Driver)(nil)
	_ cow.Completer = (*Driver)(nil)
)

// New is a driver that keeps its trees below home, an absolute path. Log is
// told what a tree had to leave out, and may be nil. Nothing is made or looked at
// yet.
func New(home string, log *slog.Logger) *Driver {
	return &Driver{home: filepath.Clean(home), log: tree.Logger(log)}
}

// Name implements cow.Driver.
func (d *Driver) Name() string { return Name }

// Create implements cow.Driver. It extracts the layers that nobody has
// extracted yet, as the upper's root has to look like the chain's. A snapshot
// that is already there stays as it is.
func (d *Driver) Create(ctx context.Context, s cow.Snapshot) error {
	if err := d.create(ctx, s); err != nil {
		return fmt.Errorf("create snapshot %s: %w", s.Dir, err)
	}
	return nil
}

func (d *Driver) create(ctx context.Context, s cow.Snapshot) error {
	upper := filepath.Join(s.Dir, upperName)
	if err := os.Mkdir(filepath.Join(s.Dir, workName), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if _, err := os.Lstat(upper); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	st, err := d.stack(ctx, s.Base)
	if err != nil {
		return err
	}
	defer st.release()
	// The attributes of the root of an overlay are those of its upper
	// directory. Killed before the rename, the next Create begins again.
	temp := filepath.Join(s.Dir, upperTemp)
	if err := tree.Remove(s.Dir, upperTemp); err != nil {
		return err
	}
	if err := os.Mkdir(temp, 0o755); err != nil {
		return err
	}
	if err := copyRootAttributes(st.top(), temp, st.dialect); err != nil {
		return err
	}
	return os.Rename(temp, upper)
}

// Changes implements cow.Driver.
func (d *Driver) Changes(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Change, error] {
	return ofUpper(ctx, d, s, cow.Upper.Changes)
}

// Diff implements cow.Driver.
func (d *Driver) Diff(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Entry, error] {
	return tree.ImageOwners(s.Base, ofUpper(ctx, d, s, cow.Upper.Diff))
}

// ofUpper is what list says of the upper of s, on the trees of its chain.
func ofUpper[T any](ctx context.Context, d *Driver, s cow.Snapshot, list func(cow.Upper) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		base, dialect, closed, err := d.base(ctx, s.Base)
		if err != nil {
			yield(none, fmt.Errorf("list changes of %s: %w", s.Dir, err))
			return
		}
		defer closed()
		u := cow.Upper{Dir: filepath.Join(s.Dir, upperName), Work: filepath.Join(s.Dir, workName), Dialect: dialect, Base: base}
		for c, err := range list(u) {
			if err == nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

// Complete implements cow.Completer. Nothing lacks data, but the kernel keeps a directory in
// work that its owner can't enter. What its index keeps together nobody else would.
func (d *Driver) Complete(_ context.Context, s cow.Snapshot) error {
	work := filepath.Join(s.Dir, workName)
	if kept, err := cow.HasIndex(work); err != nil {
		return fmt.Errorf("index of %s: %w", s.Dir, err)
	} else if kept {
		return &cow.Unusable{Driver: Name, Reason: "it was mounted with index=on, and hard links were changed that only the kernel's index keeps together",
			Hint: "cfs driver migrate, which copies the changes"}
	}
	return tree.Empty(work)
}

// Remove implements cow.Driver. The snapshot must not be mounted. Directories
// that nobody may enter, like the one the kernel keeps in work, are opened up on
// the way.
func (d *Driver) Remove(ctx context.Context, s cow.Snapshot) error {
	unlimit(s.Dir)
	for _, name := range []string{upperName, upperTemp, workName, bootName} {
		if err := tree.Remove(s.Dir, name); err != nil {
			return fmt.Errorf("remove snapshot %s: %w", s.Dir, err)
		}
	}
	return nil
}

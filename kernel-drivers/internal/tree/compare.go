package tree

import (
	"context"
	"fmt"
	"iter"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/whiteout"
)

// A Copy is a whole tree that was made from a base and may have been changed since.
type Copy struct {
	Dir string
	// Open, when not nil, is where the tree is, for as long as it is compared: it is nowhere
	// in Dir, which only stands for it.
	Open  func(ctx context.Context) (at string, end func(), err error)
	Chain cow.Chain
	Base  func(ctx context.Context) (Tree, error) // locks the base
	// Same, when not nil, makes a [cow.Upper].Same; it may return nil.
	Same func(ctx context.Context) (func(*unix.Stat_t) bool, error)
}

// Changes is what a driver's Changes returns.
func (c Copy) Changes(ctx context.Context) iter.Seq2[cow.Change, error] {
	return list(ctx, c, cow.Upper.Changes)
}

// Diff is what a driver's Diff returns.
func (c Copy) Diff(ctx context.Context) iter.Seq2[cow.Entry, error] {
	return ImageOwners(c.Chain, list(ctx, c, cow.Upper.Diff))
}

func list[T any](ctx context.Context, c Copy, of func(cow.Upper) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		err := c.walk(ctx, func(u cow.Upper) bool {
			for v, err := range of(u) {
				if err == nil && ctx.Err() != nil {
					err = context.Cause(ctx)
				}
				if !yield(v, err) || err != nil {
					return false
				}
			}
			return true
		})
		if err != nil {
			var none T
			yield(none, fmt.Errorf("list changes of %s: %w", c.Dir, err))
		}
	}
}

// walk gives f the two trees. The error is of what comes before.
func (c Copy) walk(ctx context.Context, f func(cow.Upper) bool) error {
	dir := c.Dir
	if c.Open != nil {
		at, end, err := c.Open(ctx)
		if err != nil {
			return err
		}
		defer end()
		dir = at
	}
	base, err := c.Base(ctx)
	if err != nil {
		return err
	}
	defer base.Release()
	before, err := cow.OpenTree(base.Path)
	if err != nil {
		return err
	}
	defer before.Close()
	u := cow.Upper{Dir: dir, Dialect: whiteout.Plain, Base: before}
	if c.Same != nil {
		if u.Same, err = c.Same(ctx); err != nil {
			return err
		}
	}
	f(u)
	return nil
}

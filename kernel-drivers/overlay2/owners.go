package overlay2

import (
	"context"
	"fmt"
	"iter"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/whiteout"
)

// Diff implements cow.Driver. In the trees of a user namespace everything
// belongs to the caller that it has no id for, and so does what is copied up from
// them. What nobody gave to another there belongs to whom it does in the image.
func (d *Driver) Diff(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Entry, error] {
	return func(yield func(cow.Entry, error) bool) {
		owner := func(*cow.Entry) error { return nil }
		dialect, _, err := group()
		if err == nil && dialect == whiteout.User && s.Base.Index != "" {
			var image *layerpack.Base
			if image, err = layerpack.OpenBase(s.Base, nil); err == nil {
				defer image.Close()
				owner = func(e *cow.Entry) error { return imageOwner(image, e) }
			}
		}
		if err != nil {
			yield(cow.Entry{}, fmt.Errorf("list changes of %s: %w", s.Dir, err))
			return
		}
		for e, err := range ofUpper(ctx, d, s, cow.Upper.Diff) {
			if err == nil && e.Kind == cow.Changed {
				err = owner(&e)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// imageOwner gives e the ids that it has in the image, where they are still those
// of the trees.
func imageOwner(image *layerpack.Base, e *cow.Entry) error {
	a, ok, err := image.Lookup(e.Path)
	if err != nil || !ok {
		return err
	}
	if e.Attr.UID == e.Before.UID {
		e.Attr.UID = a.UID
	}
	if e.Attr.GID == e.Before.GID {
		e.Attr.GID = a.GID
	}
	e.Before.UID, e.Before.GID = a.UID, a.GID
	return nil
}

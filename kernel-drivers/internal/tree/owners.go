package tree

import (
	"fmt"
	"iter"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/layerpack"
)

// ImageOwners mends a diff on trees of the chain c. In those of a user namespace
// everything belongs to the caller that it has no id for, and so does what is
// changed in them. What nobody gave to another there belongs to whom it does in the
// image.
func ImageOwners(c cow.Chain, diff iter.Seq2[cow.Entry, error]) iter.Seq2[cow.Entry, error] {
	if sys.Privileged() || c.Index == "" {
		return diff
	}
	return func(yield func(cow.Entry, error) bool) {
		image, err := layerpack.OpenBase(c, nil)
		if err != nil {
			yield(cow.Entry{}, fmt.Errorf("owners of the image: %w", err))
			return
		}
		defer image.Close()
		for e, err := range diff {
			if err == nil && e.Kind == cow.Changed {
				err = imageOwner(image, &e)
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

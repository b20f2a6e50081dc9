package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// RemoveOptions says what Remove removes.
type RemoveOptions struct {
	Names []string // names, IDs or beginnings of IDs
	Force bool     // also with several names, or a stopped container
}

// Remove removes images, one after the other, and prints "Untagged: NAME" and
// "Deleted: ID" for what went. A name that can't be removed does not keep the
// next ones from it; the error then joins one of each.
func Remove(ctx context.Context, st *store.Store, o RemoveOptions, out io.Writer) error {
	var errs []error
	removed := false
	for _, name := range o.Names {
		done, err := st.Remove(ctx, name, store.RemoveOptions{Force: o.Force})
		for _, n := range done.Untagged {
			fmt.Fprintf(out, "Untagged: %s\n", n)
		}
		removed = removed || len(done.Deleted) > 0
		for _, d := range done.Deleted {
			fmt.Fprintf(out, "Deleted: %s\n", d)
		}
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if removed {
		errs = append(errs, pruneDrivers(ctx, st))
	}
	return errors.Join(errs...)
}

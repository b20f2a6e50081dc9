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
	Names   []string // names, IDs or beginnings of IDs
	Force   bool     // also with several names, or a stopped container
	NoPrune bool     // keep parents that nothing needs any more
	// Missing is told of what is not there when Force makes that no failure;
	// nil is nobody.
	Missing func(error)
}

// Remove removes images, one after the other, and prints "Untagged: NAME" and
// "Deleted: ID" for what went. A container that was to go with a process that was killed
// goes first: nobody has it. A name that can't be removed does not keep the
// next ones from it; the error then joins one of each. With Force what is not
// there is no error, unless something else is.
func Remove(ctx context.Context, st *store.Store, o RemoveOptions, out io.Writer) error {
	OpenContainers(st.Root()).sweepLeft(ctx)
	var errs []error
	removed, failed := false, false
	for _, name := range o.Names {
		done, err := st.Remove(ctx, name, store.RemoveOptions{Force: o.Force, NoPrune: o.NoPrune})
		for _, n := range done.Untagged {
			fmt.Fprintf(out, "Untagged: %s\n", n)
		}
		removed = removed || len(done.Deleted) > 0
		for _, d := range done.Deleted {
			fmt.Fprintf(out, "Deleted: %s\n", d)
		}
		if err != nil {
			errs = append(errs, err)
			failed = failed || !errors.Is(err, store.ErrNotFound)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if o.Force && !failed && o.Missing != nil {
		for _, err := range errs {
			o.Missing(err)
		}
		errs = nil
	}
	if removed {
		errs = append(errs, pruneDrivers(ctx, st))
	}
	return errors.Join(errs...)
}

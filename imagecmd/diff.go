package imagecmd

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// Diff prints what a container, which may be running or mounted, has changed of
// its image: a line for every path, with A for added, C for changed and D for
// deleted.
func Diff(ctx context.Context, st *store.Store, container string, out io.Writer) error {
	r, err := openReading(ctx, st, container)
	if err != nil {
		return err
	}
	defer r.close()
	w := bufio.NewWriter(out)
	for c, err := range r.changes(ctx) {
		if err != nil {
			w.Flush()
			return fmt.Errorf("container %s: %w", r.c.Label(), err)
		}
		fmt.Fprintf(w, "%s %s\n", c.Kind, c.Path)
	}
	return w.Flush()
}

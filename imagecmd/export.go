package imagecmd

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/layerpack"
)

// ExportOptions says what Export writes, and where.
type ExportOptions struct {
	Container string
	// Output is a file; "" is the writer. It is written beside and renamed: nothing
	// of it is there before all of it is.
	Output string
	Pause  bool // stop what runs in the container while its change is read
	// Note is told what a tar can't hold, such as sockets.
	Note func(path, what string)
}

// Export writes a container's root as a tar: its image's layers and what it has
// changed, merged. Nothing is mounted or unpacked for it. SOURCE_DATE_EPOCH
// stands for later times.
func Export(ctx context.Context, st *store.Store, o ExportOptions, out io.Writer) error {
	if o.Output == "" {
		if err := refuseTerminal(out); err != nil {
			return err
		}
	}
	r, err := openReading(ctx, st, o.Container)
	if err != nil {
		return err
	}
	defer r.close()
	if o.Output == "" {
		err = r.export(ctx, st, o, out)
	} else {
		err = r.exportFile(ctx, st, o)
	}
	if err != nil {
		return fmt.Errorf("failed to export container: %w", err)
	}
	return nil
}

func (r *reading) exportFile(ctx context.Context, st *store.Store, o ExportOptions) error {
	f, err := createOutput(o.Output)
	if err != nil {
		return err
	}
	if err := r.export(ctx, st, o, f); err != nil {
		f.abandon()
		return err
	}
	return f.commit()
}

func (r *reading) export(ctx context.Context, st *store.Store, o ExportOptions, w io.Writer) error {
	epoch, err := sourceDateEpoch()
	if err != nil {
		return err
	}
	layers := slices.Clone(r.change.Snapshot.Base.Layers)
	change, discard, err := r.scratch(ctx, st, o)
	if err != nil {
		return err
	}
	defer discard()
	_, err = layerpack.Squash(ctx, w, append(layers, change), layerpack.WriteOptions{Epoch: epoch, DirTimes: true, Note: o.Note})
	return err
}

// scratch packs the change. Only for this long the container is paused.
func (r *reading) scratch(ctx context.Context, st *store.Store, o ExportOptions) (cow.Layer, func(), error) {
	tar, done, err := r.layerTar(ctx, layerTimes{DirTimes: true}, o.Pause, o.Note)
	if err != nil {
		return cow.Layer{}, nil, err
	}
	defer done()
	return st.Scratch(ctx, tar)
}

package imagecmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/internal/piped"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/runtime/stage"
)

// readStage is argv[0] of the process that reads an ordinary user's change: its
// files may belong to sub-uids, and only the root of a user namespace with those
// uids may read them all and knows them by the container's numbers.
const readStage = "cfs-read"

// What can be read of a change.
const (
	wantChanges = "changes" // a letter and a path each, and a NUL byte
	wantLayer   = "layer"   // a tar of it, as an OCI layer
)

type readRequest struct {
	changeRequest
	Want string
	layerTimes
}

// layerTimes are the times in a layer, see layerpack.WriteOptions.
type layerTimes struct {
	Epoch    *time.Time
	DirTimes bool
}

// read opens what is wanted of the change as a stream. If not all could be read
// it ends with the reason instead of io.EOF. note is told what a layer can't hold.
func (r *reading) read(ctx context.Context, want string, times layerTimes, note func(path, what string)) (io.ReadCloser, error) {
	req := readRequest{r.change, want, times}
	if r.direct {
		return piped.From(func(w io.Writer) error { return req.write(ctx, w, note) }), nil
	}
	payload, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	return streamStage(ctx, r.mapping, readStage, payload, note)
}

func readMain(l *stage.Link, payload []byte) int {
	var req readRequest
	if err := json.Unmarshal(payload, &req); err != nil {
		return streamStatus(err)
	}
	ctx, stop := l.Interruptible()
	defer stop()
	return streamStatus(req.write(ctx, os.Stdout, sayNote))
}

// write writes what is wanted.
func (q readRequest) write(ctx context.Context, w io.Writer, note func(path, what string)) error {
	switch q.Want {
	case wantChanges:
		b := bufio.NewWriter(w)
		for c, err := range q.changes(ctx) {
			if err != nil {
				return err
			}
			fmt.Fprintf(b, "%c%s\x00", c.Kind, c.Path)
		}
		return b.Flush()
	case wantLayer:
		_, err := layerpack.WriteLayer(ctx, w, q.entries(ctx), layerpack.WriteOptions{Epoch: q.Epoch, DirTimes: q.DirTimes, Note: note})
		return err
	}
	return fmt.Errorf("nobody knows how to read %q", q.Want)
}

// entries is the change, without what a container got only to be mounted on.
func (q changeRequest) entries(ctx context.Context) iter.Seq2[cow.Entry, error] {
	d, err := q.driver()
	if err != nil {
		return func(yield func(cow.Entry, error) bool) { yield(cow.Entry{}, err) }
	}
	if d == nil {
		return func(func(cow.Entry, error) bool) {}
	}
	if !q.Process {
		return d.Diff(ctx, q.Snapshot)
	}
	return q.Places.leaveOut(withoutMountPoints(d.Diff(ctx, q.Snapshot)))
}

// changes lists what entries would, where names are all that is wanted: what may
// be a mount point is looked at only if there is any.
func (q changeRequest) changes(ctx context.Context) iter.Seq2[cow.Change, error] {
	return func(yield func(cow.Change, error) bool) {
		d, err := q.driver()
		if err != nil {
			yield(cow.Change{}, err)
			return
		}
		if d == nil {
			return
		}
		var all []cow.Change
		doubt := false
		for c, err := range d.Changes(ctx, q.Snapshot) {
			if err != nil {
				yield(cow.Change{}, err)
				return
			}
			all = append(all, c)
			doubt = doubt || q.Process && maybeMountPoint(c)
		}
		kept := map[string]bool{}
		if doubt {
			for e, err := range q.entries(ctx) {
				if err != nil {
					yield(cow.Change{}, err)
					return
				}
				kept[e.Path] = true
			}
		}
		for _, c := range all {
			if doubt && (maybeMountPoint(c) || c.Path == "/etc") && !kept[c.Path] {
				continue
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// changes lists the container's change.
func (r *reading) changes(ctx context.Context) iter.Seq2[cow.Change, error] {
	return func(yield func(cow.Change, error) bool) {
		in, err := r.read(ctx, wantChanges, layerTimes{}, nil)
		if err != nil {
			yield(cow.Change{}, err)
			return
		}
		defer in.Close()
		for b := bufio.NewReader(in); ; {
			record, err := b.ReadString(0)
			switch {
			case errors.Is(err, io.EOF) && record == "":
				return
			case err == nil && len(record) < 3:
				err = fmt.Errorf("%s: unexpected record %q", readStage, record)
			}
			if err != nil {
				yield(cow.Change{}, err)
				return
			}
			if !yield(cow.Change{Kind: cow.Kind(record[0]), Path: record[1 : len(record)-1]}, nil) {
				return
			}
		}
	}
}

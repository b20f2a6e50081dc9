package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// PruneOptions says what a prune removes.
type PruneOptions struct {
	// Containers takes those that have ended, before the images.
	Containers bool
	// Volumes takes anonymous volumes that no container has.
	Volumes bool
	// All takes every image that no container uses; else only nameless ones.
	All bool
	// Filters are until, label and label!: what they don't match stays.
	Filters Filters
	Now     time.Time // what until counts from; zero is the clock
	Log     *slog.Logger
}

// Warning is what a person is asked before a prune, in Docker's words.
func (o *PruneOptions) Warning() string {
	images := "all dangling images"
	if o.All {
		images = "all images without at least one container associated to them"
	}
	var b strings.Builder
	if !o.Containers {
		fmt.Fprintf(&b, "WARNING! This will remove %s.\n", images)
	} else {
		b.WriteString("WARNING! This will remove:\n  - all stopped containers, and what unmounted mounts have kept\n")
		if o.Volumes {
			b.WriteString("  - all anonymous volumes not used by at least one container\n")
		}
		fmt.Fprintf(&b, "  - %s\n", images)
		if len(o.Filters.list) > 0 {
			b.WriteString("\n  Items to be pruned will be filtered with:\n")
			for _, f := range o.Filters.list {
				fmt.Fprintf(&b, "  - %s=%s\n", f.key, f.value)
			}
		}
		b.WriteByte('\n')
	}
	b.WriteString("Are you sure you want to continue? [y/N] ")
	return b.String()
}

// Check tells whether the filters can be understood, before anybody is asked.
func (o *PruneOptions) Check() error {
	if err := o.Filters.check("until", "label", "label!", "dangling"); err != nil {
		return err
	}
	dangling, err := o.Filters.boolean("dangling")
	if err != nil {
		return err
	}
	if dangling != nil {
		o.All = !*dangling
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	until, err := o.Filters.until(o.Now)
	if err == nil && o.Volumes && !until.IsZero() {
		err = errors.New(`the "until" filter is not supported with "--volumes"`)
	}
	return err
}

// PruneContainersWarning is what a person is asked before PruneContainers.
const PruneContainersWarning = "WARNING! This will remove all stopped containers, and what unmounted mounts have kept.\nAre you sure you want to continue? [y/N] "

// PruneContainers removes containers that have ended, and prints which, and how much
// they had changed. Of the options the filters count: until, label and label!.
func PruneContainers(ctx context.Context, st *store.Store, o PruneOptions, out io.Writer) error {
	if err := o.Filters.check("until", "label", "label!"); err != nil {
		return err
	}
	if err := o.Check(); err != nil {
		return err
	}
	reclaimed, err := pruneContainers(ctx, st, o, out)
	fmt.Fprintf(out, "Total reclaimed space: %s\n", units.HumanSize(float64(reclaimed)))
	return err
}

// Prune removes what nobody uses and prints what went and how much it was, in
// the sizes that the lists show. What is in use at that moment is passed over.
func Prune(ctx context.Context, st *store.Store, o PruneOptions, out io.Writer) error {
	if err := o.Check(); err != nil {
		return err
	}
	var reclaimed int64
	var errs []error
	if o.Containers {
		n, err := pruneContainers(ctx, st, o, out)
		reclaimed += n
		errs = append(errs, err)
	}
	if o.Volumes {
		n, err := pruneVolumes(ctx, st.Root(), PruneVolumesOptions{Filters: o.Filters}, out)
		reclaimed += n
		errs = append(errs, err)
	}
	n, err := pruneImages(ctx, st, o, out)
	reclaimed += n
	errs = append(errs, err)
	fmt.Fprintf(out, "Total reclaimed space: %s\n", units.HumanSize(float64(reclaimed)))
	return errors.Join(errs...)
}

func pruneContainers(ctx context.Context, st *store.Store, o PruneOptions, out io.Writer) (reclaimed int64, err error) {
	until, err := o.Filters.until(o.Now)
	if err != nil {
		return 0, err
	}
	OpenContainers(st.Root()).sweepLeft(ctx)
	all, err := OpenContainers(st.Root()).List()
	if err != nil {
		return 0, err
	}
	var gone []string
	var errs []error
	for _, c := range slices.Backward(all) { // the newest first, as Docker
		if c.Running() || !until.IsZero() && c.Created.After(until) || !o.Filters.labels(c.Options.Labels) {
			continue
		}
		n, err := containerSize(st.Root(), c)
		if err == nil {
			err = RemoveContainer(ctx, st.Root(), c.ID, o.Log)
		}
		switch {
		case err == nil:
			gone = append(gone, c.ID)
			reclaimed += n
		case errors.Is(err, ErrRunning), errors.Is(err, ErrNoContainer):
			// It was started, or removed, since it was looked at.
		default:
			errs = append(errs, err)
		}
	}
	printPruned(out, "Deleted Containers:", gone)
	return reclaimed, errors.Join(errs...)
}

func pruneImages(ctx context.Context, st *store.Store, o PruneOptions, out io.Writer) (reclaimed int64, err error) {
	names, err := prunable(ctx, st, o)
	if err != nil {
		return 0, err
	}
	var lines []string
	var errs []error
	removed := false
	for _, name := range names {
		done, err := st.Remove(ctx, name, store.RemoveOptions{})
		if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			errs = append(errs, err)
		}
		for _, n := range done.Untagged {
			lines = append(lines, "untagged: "+n)
		}
		for _, d := range done.Deleted {
			lines = append(lines, "deleted: "+string(d))
		}
		removed = removed || len(done.Deleted) > 0
		reclaimed += done.Size
	}
	printPruned(out, "Deleted Images:", lines)
	if removed {
		errs = append(errs, pruneDrivers(ctx, st))
	}
	return reclaimed, errors.Join(errs...)
}

// prunable are names, or IDs of nameless images, that a prune removes one after
// the other: children before their parents, as the newest are first.
func prunable(ctx context.Context, st *store.Store, o PruneOptions) ([]string, error) {
	until, err := o.Filters.until(o.Now)
	if err != nil {
		return nil, err
	}
	images, err := st.List(ctx)
	if err != nil {
		return nil, err // what can't be read may be a parent's child
	}
	OpenContainers(st.Root()).sweepLeft(ctx)
	containers, err := st.Containers(ctx)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, c := range containers {
		used[string(c.ImageID)] = true
	}
	var names []string
	for _, img := range images {
		switch {
		case used[string(img.ID)], !o.All && len(img.Names) > 0, !o.All && len(img.Children) > 0:
		case !until.IsZero() && img.Created.After(until), !o.Filters.labels(img.Labels):
		case len(img.Names)+len(img.Digests) > 0:
			names = append(append(names, img.Names...), img.Digests...)
		case len(img.Children) == 0:
			names = append(names, string(img.ID))
		}
	}
	return names, nil
}

func printPruned(out io.Writer, title string, lines []string) {
	if len(lines) > 0 {
		fmt.Fprintf(out, "%s\n%s\n\n", title, strings.Join(lines, "\n"))
	}
}

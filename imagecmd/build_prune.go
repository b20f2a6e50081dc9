package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/buildcontext"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// BuilderPruneOptions says what of builds is removed.
type BuilderPruneOptions struct {
	// All takes also the contents of cache mounts, and lets the next build find nothing of
	// what was built before; images that have a name, or what needs one, stay.
	All bool
	// Filters are until: what is younger stays.
	Filters Filters
	Now     time.Time // what until counts from; zero is the clock
	Log     *slog.Logger
}

// Warning is what a person is asked before, in Docker's words.
func (o *BuilderPruneOptions) Warning() string {
	what := "all dangling build cache"
	if o.All {
		what = "all build cache"
	}
	return fmt.Sprintf("WARNING! This will remove %s. Are you sure you want to continue? [y/N] ", what)
}

// Check tells whether the filters can be understood.
func (o *BuilderPruneOptions) Check() error {
	if err := o.Filters.check("until"); err != nil {
		return err
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	_, err := o.Filters.until(o.Now)
	return err
}

// BuilderPrune removes what builds have left and nothing needs: nameless images that
// their steps made, with their parents. It prints what went, and how much it was.
func BuilderPrune(ctx context.Context, st *store.Store, o BuilderPruneOptions, out io.Writer) error {
	if err := o.Check(); err != nil {
		return err
	}
	gone, reclaimed, err := pruneSteps(ctx, st, o)
	errs := []error{err}
	if o.All {
		mounts, n, err := pruneCacheMounts(st.Root(), o)
		gone, reclaimed = append(gone, mounts...), reclaimed+n
		errs = append(errs, err)
		if until, _ := o.Filters.until(o.Now); until.IsZero() {
			_, err := st.ForgetSteps(ctx)
			errs = append(errs, err, buildcontext.ForgetDigests(digestsDir(st.Root())))
		}
	}
	printPruned(out, "Deleted build cache objects:", gone)
	fmt.Fprintf(out, "Total reclaimed space: %s\n", units.HumanSize(float64(reclaimed)))
	return errors.Join(errs...)
}

// pruneSteps removes the images.
func pruneSteps(ctx context.Context, st *store.Store, o BuilderPruneOptions) (gone []string, reclaimed int64, err error) {
	until, err := o.Filters.until(o.Now)
	if err != nil {
		return nil, 0, err
	}
	images, err := st.List(ctx)
	if err != nil {
		return nil, 0, err // what can't be read may be a parent's child
	}
	var errs []error
	for _, img := range images {
		if !img.Built || len(img.Names)+len(img.Digests)+len(img.Children) > 0 || !until.IsZero() && img.Created.After(until) {
			continue
		}
		done, err := st.Remove(ctx, string(img.ID), store.RemoveOptions{})
		if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			errs = append(errs, err)
		}
		for _, d := range done.Deleted {
			gone = append(gone, d.Encoded())
		}
		reclaimed += done.Size
	}
	if len(gone) > 0 {
		errs = append(errs, pruneDrivers(ctx, st))
	}
	return gone, reclaimed, errors.Join(errs...)
}

// pruneCacheMounts removes what cache mounts hold that no step is using.
func pruneCacheMounts(root string, o BuilderPruneOptions) (gone []string, reclaimed int64, err error) {
	until, err := o.Filters.until(o.Now)
	if err != nil {
		return nil, 0, err
	}
	dirs, err := filepath.Glob(filepath.Join(root, "build", cacheDirs, "*", "[0-9]*"))
	if err != nil {
		return nil, 0, err
	}
	var remove []string
	for _, dir := range dirs {
		fi, err := os.Lstat(dir)
		if err != nil || !until.IsZero() && fi.ModTime().After(until) {
			continue
		}
		lock, err := tryLock(dir, unix.LOCK_EX)
		if err != nil {
			continue // in use, or gone
		}
		defer lock.Close()
		id, _ := os.ReadFile(filepath.Join(filepath.Dir(dir), cacheIDFile))
		gone = append(gone, "cache mount "+strings.TrimSpace(string(id)))
		n, err := ownedSize(dir)
		if err != nil {
			return gone, reclaimed, err
		}
		reclaimed += n
		remove = append(remove, dir)
	}
	return gone, reclaimed, removeTrees(root, remove)
}

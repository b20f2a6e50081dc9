package imagecmd

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// An imageFilter decides which images `cfs images` lists, by which names.
type imageFilter struct {
	all           bool
	filters       *Filters
	dangling      *bool     // nil: not asked
	before, since time.Time // zero: not asked; both exclusive
	patterns      []string
}

func newImageFilter(ctx context.Context, st *store.Store, o *ImagesOptions) (*imageFilter, error) {
	if err := o.Filters.check("dangling", "label", "before", "since", "until", "reference"); err != nil {
		return nil, err
	}
	f := &imageFilter{all: o.All, filters: &o.Filters, patterns: o.Filters.of("reference")}
	for _, p := range f.patterns {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("invalid reference pattern %q: %w", p, err)
		}
	}
	var err error
	if f.dangling, err = o.Filters.boolean("dangling"); err != nil {
		return nil, err
	}
	if f.before, err = o.Filters.until(o.Now); err != nil {
		return nil, err
	}
	for _, name := range o.Filters.of("before") {
		img, err := resolveTagged(ctx, st, name)
		if err != nil {
			return nil, err
		}
		if f.before.IsZero() || img.Created.Before(f.before) {
			f.before = img.Created
		}
	}
	for _, name := range o.Filters.of("since") {
		img, err := resolveTagged(ctx, st, name)
		if err != nil {
			return nil, err
		}
		if img.Created.After(f.since) {
			f.since = img.Created
		}
	}
	return f, nil
}

// image returns the names that an image is listed by; none of them is a row
// of its own. False: it is not listed.
func (f *imageFilter) image(img *store.Summary) (names []reference.Named, ok bool) {
	if !f.before.IsZero() && !img.Created.Before(f.before) || !f.since.IsZero() && !img.Created.After(f.since) {
		return nil, false
	}
	if !f.filters.labels(img.Labels) {
		return nil, false
	}
	for _, ref := range img.References() {
		if f.name(ref) {
			names = append(names, ref)
		}
	}
	dangling := f.dangling != nil && *f.dangling
	if len(names) > 0 {
		return names, !dangling || len(img.Names) == 0
	}
	switch {
	case len(f.patterns) > 0, f.dangling != nil && !dangling:
		return nil, false
	}
	// A nameless parent is intermediate, and never dangling.
	return nil, len(img.Children) == 0 || f.all && !dangling
}

// name is Docker's `images REPOSITORY[:TAG]`; one of several patterns is enough.
func (f *imageFilter) name(ref reference.Named) bool {
	return len(f.patterns) == 0 || slices.ContainsFunc(f.patterns, func(p string) bool {
		ok, _ := reference.FamiliarMatch(p, ref)
		return ok
	})
}

package imagecmd

import (
	"context"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// psFilterKeys are Docker's, but for those of Windows and of clusters.
var psFilterKeys = []string{"ancestor", "before", "exited", "health", "id", "label", "name", "network", "since", "status", "volume"}

// containerStatuses are those that Docker knows.
var containerStatuses = []string{"created", "dead", "exited", "paused", "removing", "restarting", "running"}

// A psFilter decides which containers `cfs ps` lists.
type psFilter struct {
	all           bool
	filters       *Filters
	before, since time.Time              // zero: not asked; both exclusive
	exited        []int                  // statuses, of which one is enough
	images        map[digest.Digest]bool // the ancestors, and what was built on them; nil: not asked
	ancestors     []string               // as they were named
}

func newPsFilter(ctx context.Context, st *store.Store, o *PsOptions) (*psFilter, error) {
	if err := o.Filters.check(psFilterKeys...); err != nil {
		return nil, err
	}
	f := &psFilter{all: o.All || o.Last > 0, filters: &o.Filters, ancestors: o.Filters.of("ancestor")}
	for _, s := range o.Filters.of("status") {
		if !slices.Contains(containerStatuses, s) {
			return nil, sentencef(nil, "Invalid filter 'status=%s'", s)
		}
		f.all = true
	}
	for _, s := range o.Filters.of("health") {
		if !slices.Contains(healthStatuses, s) {
			return nil, sentencef(nil, "Unrecognised filter value for health: %s", s)
		}
	}
	for _, s := range o.Filters.of("exited") {
		code, err := strconv.Atoi(s)
		if err != nil {
			return nil, sentencef(nil, "Invalid filter 'exited=%s'", s)
		}
		f.exited = append(f.exited, code)
	}
	cs := OpenContainers(st.Root())
	for _, name := range o.Filters.of("before") {
		c, err := cs.Find(name)
		if err != nil {
			return nil, err
		}
		if f.before.IsZero() || c.Created.Before(f.before) {
			f.before = c.Created
		}
	}
	for _, name := range o.Filters.of("since") {
		c, err := cs.Find(name)
		if err != nil {
			return nil, err
		}
		if c.Created.After(f.since) {
			f.since = c.Created
		}
	}
	if len(f.ancestors) > 0 {
		return f, f.descend(ctx, st)
	}
	return f, nil
}

// descend finds the images that were built on the ancestors. One that is not there has
// no descendants.
func (f *psFilter) descend(ctx context.Context, st *store.Store) error {
	images, err := st.Images(ctx)
	if images == nil && err != nil {
		return err
	}
	children := map[digest.Digest][]digest.Digest{}
	for _, img := range images {
		children[img.ID] = img.Children
	}
	f.images = map[digest.Digest]bool{}
	var take func(id digest.Digest)
	take = func(id digest.Digest) {
		if f.images[id] {
			return
		}
		f.images[id] = true
		for _, child := range children[id] {
			take(child)
		}
	}
	for _, name := range f.ancestors {
		if img, err := st.Resolve(ctx, name); err == nil {
			take(img.ID)
		}
	}
	return nil
}

// container tells whether a container is listed.
func (f *psFilter) container(c *Container, now ContainerState, s State) bool {
	switch {
	case !f.all && !now.Running:
		return false
	case !f.before.IsZero() && !c.Created.Before(f.before), !f.since.IsZero() && !c.Created.After(f.since):
		return false
	case f.images != nil && !f.images[c.ImageID] && !slices.Contains(f.ancestors, c.Image):
		return false
	case f.exited != nil && (now.Running || s.Started.IsZero() || !slices.Contains(f.exited, now.ExitCode)):
		return false
	}
	is := func(key, value string) bool {
		want := f.filters.of(key)
		return len(want) == 0 || slices.Contains(want, value)
	}
	return is("status", now.Status) && is("health", c.healthStatus(now.Running)) && is("network", c.networkName()) && f.filters.labels(c.Options.Labels) &&
		f.filters.matches("id", c.ID) && (f.filters.matches("name", c.Name) || f.filters.matches("name", "/"+c.Name)) && f.volume(c)
}

// volume tells whether the container has one of the volumes, by name or place, that are
// asked for.
func (f *psFilter) volume(c *Container) bool {
	want := f.filters.of("volume")
	return len(want) == 0 || slices.ContainsFunc(c.Options.Mounts, func(m MountOption) bool {
		return slices.ContainsFunc(want, func(w string) bool {
			return path.Clean(w) == m.Target || w == m.Source && m.Type != mountTmpfs
		})
	})
}

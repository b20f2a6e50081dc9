package store

import (
	"fmt"
	"slices"

	"github.com/cfs-project/cfs/internal/reference"
)

// lineOf is the line of a target that is called so, or has that digest; < 0 none.
func (x *index) lineOf(name string) int {
	names := x.names()
	if ref, err := reference.ParseNormalizedNamed(name); err == nil {
		full := reference.TagNameOnly(ref).String()
		if at := slices.IndexFunc(names, func(n reference.Named) bool { return n != nil && n.String() == full }); at >= 0 {
			return at
		}
	}
	return slices.IndexFunc(x.Manifests, func(l line) bool { return string(l.Digest) == name })
}

// unreadable removes the line of an image that can't be read, as some of it is
// missing or damaged, with what is left of it.
func (r *removal) unreadable(at int) error {
	l := r.x.Manifests[at]
	candidates := newMarks()
	if err := r.s.mark(r.ctx, l.Digest, candidates, 0); err != nil {
		return err
	}
	r.x.Manifests = slices.Delete(r.x.Manifests, at, at+1)
	if err := r.write(); err != nil {
		return fmt.Errorf("remove image %s: %w", describe(l), err)
	}
	r.done.Untagged = append(r.done.Untagged, describe(l))
	_, err := r.s.collect(r.ctx, r.x, candidates, r.bin)
	return err
}

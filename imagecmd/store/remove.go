package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/internal/reference"
)

// RemoveOptions says how an image is removed.
type RemoveOptions struct {
	// Force untags an image with several names by its ID, and removes one that
	// a stopped container uses.
	Force bool
	// NoPrune keeps the parents of what is removed, which go with their last
	// child if they have no name and no container.
	NoPrune bool
}

// Removed is what Remove did.
type Removed struct {
	Untagged []string        // names, as people type them
	Deleted  []digest.Digest // the image's ID, then the chain IDs that nothing has any more, top first; then those of its parents
	Size     int64           // bytes of the files in the layers that were deleted
}

// Remove takes a name from an image or, given an ID or the last name, removes
// it, with what only it needed. Docker's rules: a name of several only goes; an
// ID of an image with several names is a conflict, and so is a container, with
// Force only one that runs. Children are one always, and an image that is
// mounted is, too. What was done before a conflict is returned with it.
func (s *Store) Remove(ctx context.Context, name string, o RemoveOptions) (Removed, error) {
	var done Removed
	// Not in an empty store: it must not be made to say that something is missing.
	if _, err := s.Resolve(ctx, name); err != nil {
		if x, xerr := s.readIndex(); xerr != nil || x.lineOf(name) < 0 {
			return done, err
		}
	}
	if err := s.prepare(ctx); err != nil {
		return done, err
	}
	var bin trashBin
	err := s.locked(ctx, func(x *index, write func() error) error {
		r := removal{s: s, ctx: ctx, x: x, write: write, o: o, bin: &bin}
		err := r.run(name)
		done = r.done
		return err
	})
	return done, errors.Join(err, bin.empty())
}

// A removal is one Remove, under the index lock.
type removal struct {
	s      *Store
	ctx    context.Context
	x      *index
	images []Image
	write  func() error
	o      RemoveOptions
	done   Removed
	bin    *trashBin
}

func (r *removal) run(name string) error {
	var broken error
	r.images, broken = r.s.imagesOf(r.ctx, r.x)
	img, ref, err := resolve(r.images, name)
	if at := r.x.lineOf(name); errors.Is(err, ErrNotFound) && at >= 0 {
		return r.unreadable(at)
	}
	if err != nil {
		return errors.Join(err, broken)
	}
	users, err := r.users(img)
	if err != nil {
		return err
	}
	if ref == nil || isIDPrefix(img.ID, name) {
		if err := r.conflict(img, users, !singleRepository(img)); err != nil {
			return err
		}
		return r.delete(img)
	}

	if !r.o.Force && singleRepository(img) && len(users) > 0 {
		return conflictf("unable to remove repository reference %q (must force) - container %s is using its referenced image %s",
			name, shortContainer(users[0].ID), shortID(img.ID))
	}
	left := untag(&img, ref, &r.done)
	if left == 0 {
		switch err := r.conflict(img, users, false); {
		case err == nil:
			return r.delete(img)
		case !r.o.Force && len(img.Children) == 0:
			r.done = Removed{}
			return err
		}
		// The name goes, the image stays: it has children, or a container runs in it.
	}
	return r.untagged(img)
}

// untagged writes the index without the names that went. A target of which no
// line is left, as another of the image has its names, goes with them.
func (r *removal) untagged(img Image) error {
	lost := newMarks()
	for _, t := range r.x.unname(r.done.Untagged, img) {
		if err := r.s.mark(r.ctx, t, lost, 0); err != nil {
			return err
		}
	}
	if err := r.write(); err != nil {
		r.done = Removed{}
		return fmt.Errorf("untag image %s: %w", shortID(img.ID), err)
	}
	if len(lost.blobs) == 0 {
		return nil
	}
	_, err := r.s.collect(r.ctx, r.x, lost, r.bin)
	return err
}

// users are the containers made of an image, running ones first.
func (r *removal) users(img Image) ([]Container, error) {
	all, err := r.s.Containers(r.ctx)
	if err != nil {
		return nil, err
	}
	var users []Container
	for _, c := range all {
		if c.ImageID != img.ID {
			continue
		}
		if c.Running {
			users = slices.Insert(users, 0, c)
		} else {
			users = append(users, c)
		}
	}
	return users, nil
}

// conflict is why an image can't be deleted, in Docker's order: children, a running
// container, then several names, then a stopped container. A mount is cfs's own.
func (r *removal) conflict(img Image, users []Container, several bool) error {
	const text = "unable to delete %s (%s) - %s"
	if len(img.Children) > 0 {
		return conflictf(text, shortID(img.ID), "cannot be forced", "image has dependent child images")
	}
	if len(users) > 0 && users[0].Running {
		return conflictf(text, shortID(img.ID), "cannot be forced", "image is being used by running container "+shortContainer(users[0].ID))
	}
	mounted, err := r.mounted(img)
	if err != nil {
		return err
	}
	if mounted {
		return conflictf(text, shortID(img.ID), "cannot be forced", "image is mounted")
	}
	if r.o.Force {
		return nil
	}
	if several {
		return conflictf(text, shortID(img.ID), "must be forced", "image is referenced in multiple repositories")
	}
	if len(users) > 0 {
		return conflictf(text, shortID(img.ID), "must be forced", "image is being used by stopped container "+shortContainer(users[0].ID))
	}
	return nil
}

// unname takes names from an image's lines and returns its targets that have
// no line any more. One is kept, nameless, if that were all of them.
func (x *index) unname(names []string, img Image) (lost []digest.Digest) {
	x.Manifests = slices.DeleteFunc(x.Manifests, func(l line) bool {
		n := l.name()
		return n != nil && slices.Contains(names, reference.FamiliarString(n))
	})
	for _, t := range img.targets {
		if !slices.ContainsFunc(x.Manifests, func(l line) bool { return l.Digest == t }) {
			lost = append(lost, t)
		}
	}
	if len(lost) == len(img.targets) {
		d := NamedDescriptor(img.Target, nil)
		if img.Parent != "" {
			d = WithParent(d, img.Parent)
		}
		x.keep(d)
		lost = slices.DeleteFunc(lost, func(t digest.Digest) bool { return t == d.Digest })
	}
	return lost
}

// untag takes ref from an image, and with the last tag of a repository its
// digests, as those are no names that anybody gave. It returns how many are left.
func untag(img *Image, ref reference.Named, done *Removed) int {
	familiar := reference.FamiliarString(ref)
	done.Untagged = append(done.Untagged, familiar)
	is := func(n string) bool { return n == familiar }
	if _, ok := ref.(reference.Canonical); ok {
		img.Digests = slices.DeleteFunc(slices.Clone(img.Digests), is)
		return len(img.Names) + len(img.Digests)
	}
	img.Names = slices.DeleteFunc(slices.Clone(img.Names), is)
	if !slices.ContainsFunc(img.Names, func(n string) bool { return repository(n) == ref.Name() }) {
		img.Digests = slices.DeleteFunc(slices.Clone(img.Digests), func(n string) bool {
			if repository(n) != ref.Name() {
				return false
			}
			done.Untagged = append(done.Untagged, n)
			return true
		})
	}
	return len(img.Names) + len(img.Digests)
}

// singleRepository is Docker's isSingleReference: at most one tag, and no
// digest of another repository than that tag's.
func singleRepository(img Image) bool {
	if len(img.Names)+len(img.Digests) <= 1 {
		return true
	}
	if len(img.Names) > 1 {
		return false
	}
	repo := repository(append(slices.Clone(img.Names), img.Digests...)[0])
	return !slices.ContainsFunc(img.Digests, func(n string) bool { return repository(n) != repo })
}

func repository(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return ""
	}
	return ref.Name()
}

func shortContainer(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

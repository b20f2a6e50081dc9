package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// mounted tells whether somebody has the image's chain mounted, makes a container of
// it or builds on it. If another image has the very same chain it may be that one's:
// of this image the config is leased then, too, or deleting it takes nothing from it.
func (r *removal) mounted(img Image) (bool, error) {
	is, err := leased(r.s.chainPath(chainID(img.Config.RootFS.DiffIDs)))
	if !is || err != nil {
		return false, err
	}
	if !slices.ContainsFunc(r.images, func(o Image) bool {
		return o.ID != img.ID && slices.Equal(o.Config.RootFS.DiffIDs, img.Config.RootFS.DiffIDs)
	}) {
		return true, nil
	}
	return leased(r.s.blobPath(img.ID))
}

// delete removes every line of an image and of the parents that it leaves
// without a child, then what nothing needs any more.
func (r *removal) delete(img Image) error {
	for _, n := range append(slices.Clone(img.Names), img.Digests...) {
		if !slices.Contains(r.done.Untagged, n) {
			r.done.Untagged = append(r.done.Untagged, n)
		}
	}
	doomed, err := r.withParents(img)
	if err != nil {
		return err
	}
	candidates := newMarks()
	for _, d := range doomed {
		for _, t := range d.targets {
			if err := r.s.mark(r.ctx, t, candidates, 0); err != nil {
				return err
			}
		}
		r.x.Manifests = slices.DeleteFunc(r.x.Manifests, func(l line) bool { return slices.Contains(d.targets, l.Digest) })
	}
	err = r.write()
	if errors.Is(err, unix.ENOSPC) {
		// A full disk must not keep what fills it: the merged index is a cache.
		if err = r.dropIndex(img); err == nil {
			err = r.write()
		}
	}
	if err != nil {
		r.done = Removed{}
		return fmt.Errorf("remove image %s: %w", shortID(img.ID), err)
	}
	live, err := r.s.collect(r.ctx, r.x, candidates, r.bin)
	if err != nil {
		return fmt.Errorf("remove image %s: %w", shortID(img.ID), err)
	}
	r.done.report(doomed, live)
	return nil
}

// withParents is the image and, unless they are to stay, the parents of which
// it is the last child: nameless ones that no container was made of and nobody
// has mounted.
func (r *removal) withParents(img Image) ([]Image, error) {
	doomed := []Image{img}
	gone := map[digest.Digest]bool{img.ID: true}
	for id := img.Parent; id != "" && !r.o.NoPrune; id = doomed[len(doomed)-1].Parent {
		at := slices.IndexFunc(r.images, func(p Image) bool { return p.ID == id })
		if at < 0 || gone[id] {
			break
		}
		p := r.images[at]
		if len(p.refs) > 0 || slices.ContainsFunc(p.Children, func(c digest.Digest) bool { return !gone[c] }) {
			break
		}
		users, err := r.users(p)
		if err != nil {
			return nil, err
		}
		mounted, err := r.mounted(p)
		if err != nil {
			return nil, err
		}
		if len(users) > 0 || mounted {
			break
		}
		gone[id] = true
		doomed = append(doomed, p)
	}
	return doomed, nil
}

// report tells what went, each image with the chain IDs that neither what is
// left nor an image after it has.
func (done *Removed) report(doomed []Image, live *marks) {
	needed := map[digest.Digest]int{} // by how many of the doomed
	for _, d := range doomed {
		for _, id := range d.ChainIDs() {
			needed[id]++
		}
	}
	for _, d := range doomed {
		done.Deleted = append(done.Deleted, d.ID)
		for n, id := range slices.Backward(d.ChainIDs()) {
			if needed[id]--; needed[id] == 0 && !live.prefixes[id] {
				done.Deleted = append(done.Deleted, id)
				done.Size += d.LayerSizes[n]
			}
		}
	}
}

// dropIndex removes the merged index of an image at once, to make room.
func (r *removal) dropIndex(img Image) error {
	path := r.s.chainPath(chainID(img.Config.RootFS.DiffIDs))
	f, err := seize(path)
	if f == nil || err != nil {
		return err
	}
	return r.s.trash(f, path)
}

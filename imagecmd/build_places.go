package imagecmd

import (
	"iter"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// mountPlaces are paths of a step of a build whose changes, or some of them, are no
// part of what the step made.
type mountPlaces struct {
	// Volumes are those of the image's VOLUMEs: what changes in them is lost, as
	// Docker's classic builder has a volume of its own on each then.
	Volumes []string `json:"volumes,omitempty"`
	// Mounts are those of RUN --mount: what was made to be mounted on, and the
	// directories that only lead there, go again, as BuildKit removes them.
	Mounts []string `json:"mounts,omitempty"`
}

// leaveOut is entries without what is no part of the step. A directory that is
// only listed for what was left out in it goes, too.
func (p mountPlaces) leaveOut(entries iter.Seq2[cow.Entry, error]) iter.Seq2[cow.Entry, error] {
	if len(p.Volumes)+len(p.Mounts) == 0 {
		return entries
	}
	return func(yield func(cow.Entry, error) bool) {
		held := heldDirs{yield: yield}
		for e, err := range entries {
			if err != nil {
				yield(e, err)
				return
			}
			if !held.leave(e.Path) {
				return
			}
			switch {
			case p.inVolume(&e), p.madeToMountOn(&e) && !e.Attr.IsDir():
				held.missing()
			case e.Attr.IsDir() && e.Kind != cow.Deleted && p.leadsTo(e.Path):
				held.push(e, p.madeToMountOn(&e) || e.Kind == cow.Added && p.onlyLeadsTo(e.Path))
			default:
				if !held.flush() || !yield(e, nil) {
					return
				}
			}
		}
		held.leave("")
	}
}

// inVolume tells that e is a change within a volume, or of the volume itself where
// it was there before.
func (p mountPlaces) inVolume(e *cow.Entry) bool {
	return slices.ContainsFunc(p.Volumes, func(v string) bool {
		return below(e.Path, v) || e.Path == v && e.Kind != cow.Added
	})
}

// madeToMountOn tells that e is an empty file, or a directory, at the place of a mount.
func (p mountPlaces) madeToMountOn(e *cow.Entry) bool {
	if e.Kind != cow.Added || !slices.Contains(p.Mounts, e.Path) {
		return false
	}
	return e.Attr.IsDir() || e.Attr.Mode&unix.S_IFMT == unix.S_IFREG && e.Attr.Size == 0
}

// leadsTo tells whether path is a place, or leads to one.
func (p mountPlaces) leadsTo(path string) bool {
	is := func(place string) bool { return place == path || below(place, path) }
	return slices.ContainsFunc(p.Volumes, is) || slices.ContainsFunc(p.Mounts, is)
}

// onlyLeadsTo tells whether path leads to the place of a mount.
func (p mountPlaces) onlyLeadsTo(path string) bool {
	return slices.ContainsFunc(p.Mounts, func(place string) bool { return below(place, path) })
}

// below tells whether path lies in the directory dir.
func below(path, dir string) bool { return strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/") }

// heldDirs are directories, each in the one before, of which it is not known yet
// whether they are to be listed.
type heldDirs struct {
	yield func(cow.Entry, error) bool
	dirs  []heldDir
}

type heldDir struct {
	e    cow.Entry
	made bool // for a mount: nothing unless something else is in it
	less bool // something in it was left out
}

func (h *heldDirs) push(e cow.Entry, made bool) { h.dirs = append(h.dirs, heldDir{e: e, made: made}) }

// missing says that something in the directories was left out.
func (h *heldDirs) missing() {
	for i := range h.dirs {
		h.dirs[i].less = true
	}
}

// leave ends the directories that path is not in. It is false if nobody listens any more.
func (h *heldDirs) leave(path string) bool {
	for n := len(h.dirs); n > 0; n-- {
		d := h.dirs[n-1]
		if below(path, d.e.Path) {
			return true
		}
		h.dirs = h.dirs[:n-1]
		if d.made || d.less && onlyMountPoint(&d.e, true) && d.e.Kind != cow.Added {
			h.missing()
			continue
		}
		if !h.flush() || !h.yield(d.e, nil) {
			return false
		}
	}
	return true
}

// flush lists all that is held: something in them is.
func (h *heldDirs) flush() bool {
	dirs := h.dirs
	h.dirs = nil
	for _, d := range dirs {
		if !h.yield(d.e, nil) {
			return false
		}
	}
	return true
}

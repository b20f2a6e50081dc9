package store

import (
	"cmp"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// AnnotationParent is where a line of index.json keeps the ID of the image that
// its own was built on: a step of a build, or what a committed container ran.
// An image's config has no place for it (Docker keeps it beside the image, too),
// so it stays in the store, and neither changes an ID nor travels with a push.
const AnnotationParent = "io.github.cfs-project.image.parent"

// WithParent is a target for [Ingest.Commit] whose image has a parent. A parent
// is kept as long as it has children, nameless and out of sight.
func WithParent(target ocispec.Descriptor, parent digest.Digest) ocispec.Descriptor {
	return withAnnotation(target, AnnotationParent, string(parent))
}

// parentOf is the parent that a line tells of; empty: none.
func parentOf(d ocispec.Descriptor) digest.Digest {
	p := digest.Digest(d.Annotations[AnnotationParent])
	if checkDigest(p) != nil {
		return ""
	}
	return p
}

// inherit gives a target and every line of it the parent that one of them has, and
// the latest time at which it was tagged, so that they outlive any of the names.
func (x *index) inherit(target ocispec.Descriptor) ocispec.Descriptor {
	var parent digest.Digest
	var tagged time.Time
	learn := func(d ocispec.Descriptor) {
		parent = cmp.Or(parentOf(d), parent)
		if t := tagTime(d); t.After(tagged) {
			tagged = t
		}
	}
	for _, l := range x.Manifests {
		if l.Digest == target.Digest {
			learn(l.Descriptor)
		}
	}
	learn(target)
	teach := func(d ocispec.Descriptor) (_ ocispec.Descriptor, changed bool) {
		if parent != "" && parentOf(d) != parent {
			d, changed = WithParent(d, parent), true
		}
		if !tagged.IsZero() && !tagTime(d).Equal(tagged) {
			d, changed = WithTagTime(d, tagged), true
		}
		return d, changed
	}
	for i, l := range x.Manifests {
		if l.Digest != target.Digest {
			continue
		}
		if d, changed := teach(l.Descriptor); changed {
			x.Manifests[i] = line{Descriptor: d}
		}
	}
	target, _ = teach(target)
	return target
}

// family tells the images who their children are: images, and targets that
// can't be read, which may be one.
func (x *index) family(byTarget map[digest.Digest]*Image, byID map[digest.Digest]*Image) {
	for _, l := range x.Manifests {
		parent := byID[parentOf(l.Descriptor)]
		child := l.Digest
		if img := byTarget[l.Digest]; img != nil {
			child = img.ID
		}
		if parent != nil && child != parent.ID && !slices.Contains(parent.Children, child) {
			parent.Children = append(parent.Children, child)
		}
	}
}

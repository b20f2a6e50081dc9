package store

import (
	"slices"

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
	a := map[string]string{AnnotationParent: string(parent)}
	for k, v := range target.Annotations {
		if k != AnnotationParent {
			a[k] = v
		}
	}
	target.Annotations = a
	return target
}

// parentOf is the parent that a line tells of; empty: none.
func parentOf(d ocispec.Descriptor) digest.Digest {
	p := digest.Digest(d.Annotations[AnnotationParent])
	if checkDigest(p) != nil {
		return ""
	}
	return p
}

// inherit gives every line of a target the parent that one of them has, so that
// it outlives any of the names.
func (x *index) inherit(target digest.Digest) {
	var parent digest.Digest
	for _, l := range x.Manifests {
		if p := parentOf(l.Descriptor); l.Digest == target && p != "" {
			parent = p
		}
	}
	if parent == "" {
		return
	}
	for i, l := range x.Manifests {
		if l.Digest == target && parentOf(l.Descriptor) != parent {
			x.Manifests[i] = line{Descriptor: WithParent(l.Descriptor, parent)}
		}
	}
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

package store

import (
	"maps"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// AnnotationTagged is where the lines of index.json keep when their image was last
// given a name by a person: by a tag, a commit, an import, not by a pull or a load. It is
// of this store, as the parent is, and written to no archive.
const AnnotationTagged = "io.github.cfs-project.image.tagged"

// WithTagTime is a target whose image was given a name then; the zero time is never.
func WithTagTime(target ocispec.Descriptor, t time.Time) ocispec.Descriptor {
	if t.IsZero() {
		if target.Annotations = maps.Clone(target.Annotations); target.Annotations != nil {
			delete(target.Annotations, AnnotationTagged)
		}
		return target
	}
	return withAnnotation(target, AnnotationTagged, t.UTC().Format(time.RFC3339Nano))
}

// tagTime is the time that a line tells of; zero: none.
func tagTime(d ocispec.Descriptor) time.Time {
	t, err := time.Parse(time.RFC3339Nano, d.Annotations[AnnotationTagged])
	if err != nil {
		return time.Time{}
	}
	return t
}

// withAnnotation is a descriptor with one annotation more, or another one.
func withAnnotation(d ocispec.Descriptor, key, value string) ocispec.Descriptor {
	a := map[string]string{}
	maps.Copy(a, d.Annotations)
	a[key] = value
	d.Annotations = a
	return d
}

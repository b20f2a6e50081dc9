package manifestlist

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/internal/reference"
)

// mediaTypeList is Docker's type for an index.
const mediaTypeList = "application/vnd.docker.distribution.manifest.list.v2+json"

// A List is an index that is being made.
type List struct {
	Name    string  `json:"name"` // in full
	Entries []Entry `json:"manifests"`
}

// An Entry is an image for one platform.
type Entry struct {
	Ref        string             `json:"ref"`        // in full, as it was named
	Descriptor ocispec.Descriptor `json:"descriptor"` // of the manifest, with the platform
	Raw        []byte             `json:"raw"`        // the manifest
}

// Find is the entry of an image; nil: there is none.
func (l *List) Find(ref string) *Entry {
	for i := range l.Entries {
		if l.Entries[i].Ref == ref {
			return &l.Entries[i]
		}
	}
	return nil
}

// Index is the index that the list makes, of Docker's type unless its first manifest
// is an OCI one. All must be in one registry, and for a platform.
func (l *List) Index() (d ocispec.Descriptor, raw []byte, err error) {
	name, err := reference.ParseNormalizedNamed(l.Name)
	if err != nil {
		return d, nil, err
	}
	x := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: mediaTypeList}
	for i, e := range l.Entries {
		if p := e.Descriptor.Platform; p == nil || p.OS == "" || p.Architecture == "" {
			return d, nil, fmt.Errorf("manifest %s must have an OS and Architecture to be pushed to a registry", e.Ref)
		}
		ref, err := reference.ParseNormalizedNamed(e.Ref)
		if err != nil {
			return d, nil, err
		}
		if from, to := reference.Domain(ref), reference.Domain(name); from != to {
			return d, nil, fmt.Errorf("cannot use source images from a different registry than the target image: %s != %s", from, to)
		}
		if i == 0 && e.Descriptor.MediaType == ocispec.MediaTypeImageManifest {
			x.MediaType = ocispec.MediaTypeImageIndex
		}
		x.Manifests = append(x.Manifests, e.Descriptor)
	}
	if raw, err = json.MarshalIndent(x, "", "   "); err != nil {
		return d, nil, err
	}
	return ocispec.Descriptor{MediaType: x.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}, raw, nil
}

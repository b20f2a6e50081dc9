package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/reference"
)

// annotationFullName is where containerd and Docker keep an image's full name.
const annotationFullName = "io.containerd.image.name"

// maxIndex bounds index.json, in bytes; it holds a line per name.
const maxIndex = 64 << 20

// A line is one descriptor of index.json. What others wrote is kept byte for
// byte, with fields that this package does not know.
type line struct {
	ocispec.Descriptor
	raw json.RawMessage // nil once changed
}

func (l line) MarshalJSON() ([]byte, error) {
	if l.raw != nil {
		return l.raw, nil
	}
	return json.Marshal(l.Descriptor)
}

func (l *line) UnmarshalJSON(b []byte) error {
	l.raw = append(json.RawMessage(nil), b...)
	return json.Unmarshal(b, &l.Descriptor)
}

// name is the name a line gives its target: a tag, or a repository with a
// digest. nil: none.
func (l line) name() reference.Named { return ParseRefName(l.Annotations[ocispec.AnnotationRefName]) }

// ParseRefName reads the annotation org.opencontainers.image.ref.name as a
// name, by the rules of the command line; nil when it is not one.
func ParseRefName(s string) reference.Named {
	if s == "" {
		return nil
	}
	ref, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return nil
	}
	return reference.TagNameOnly(ref)
}

// index is the store's index.json.
type index struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	Manifests     []line            `json:"manifests"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// readIndex reads index.json as it is at this moment; none is an empty one.
func (s *Store) readIndex() (*index, error) {
	raw, err := s.rawIndex()
	if err != nil {
		return nil, err
	}
	return s.parseIndex(raw)
}

// parseIndex is readIndex on what rawIndex gave.
func (s *Store) parseIndex(raw []byte) (*index, error) {
	x := &index{SchemaVersion: 2, MediaType: ocispec.MediaTypeImageIndex, Manifests: []line{}}
	return x, s.decodeIndex(raw, x, x)
}

// scanIndex is readIndex for those who only look: it is half the work, and what
// it returns can't be written.
func (s *Store) scanIndex() (*index, error) {
	var scan struct {
		SchemaVersion int `json:"schemaVersion"`
		Manifests     []struct {
			MediaType   string            `json:"mediaType"`
			Digest      digest.Digest     `json:"digest"`
			Size        int64             `json:"size"`
			Annotations map[string]string `json:"annotations"`
		} `json:"manifests"`
	}
	scan.SchemaVersion = 2
	raw, err := s.rawIndex()
	if err != nil {
		return nil, err
	}
	x := &index{}
	return x, s.decodeIndex(raw, x, &scan, func() {
		x.SchemaVersion = scan.SchemaVersion
		for _, m := range scan.Manifests {
			x.Manifests = append(x.Manifests, line{Descriptor: ocispec.Descriptor{
				MediaType: m.MediaType, Digest: m.Digest, Size: m.Size, Annotations: m.Annotations,
			}})
		}
	})
}

// rawIndex is index.json as it stands there; nil: there is none.
func (s *Store) rawIndex() ([]byte, error) {
	f, err := os.Open(s.indexPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if fi.Size() > maxIndex {
		return nil, fmt.Errorf("%s: %w: larger than %d MiB", s.indexPath(), ErrInvalid, maxIndex>>20)
	}
	raw := bytes.NewBuffer(make([]byte, 0, fi.Size()+bytes.MinRead))
	_, err = raw.ReadFrom(io.LimitReader(f, maxIndex))
	return raw.Bytes(), err
}

// decodeIndex reads what rawIndex gave into v, which fill makes x of, and checks x.
func (s *Store) decodeIndex(raw []byte, x *index, v any, fill ...func()) error {
	if raw == nil {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w: %w", s.indexPath(), ErrInvalid, err)
	}
	for _, f := range fill {
		f()
	}
	if x.SchemaVersion != 2 {
		return fmt.Errorf("%s: %w: schemaVersion %d", s.indexPath(), ErrInvalid, x.SchemaVersion)
	}
	for _, l := range x.Manifests {
		if err := checkDescriptor(l.Descriptor); err != nil {
			return fmt.Errorf("%s: %w", s.indexPath(), err)
		}
	}
	return nil
}

// locked runs fn with index.json under the index lock. The function says
// whether it changed the index, which is then written.
func (s *Store) locked(ctx context.Context, fn func(x *index, write func() error) error) error {
	dir, err := openObject(s.LayoutDir())
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := flockWait(ctx, dir, unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock the image index: %w", err)
	}
	x, err := s.readIndex()
	if err != nil {
		return err
	}
	return fn(x, func() error {
		raw, err := json.Marshal(x)
		if err != nil {
			return err
		}
		return s.replaceFile(ctx, s.indexPath(), raw)
	})
}

// claim makes the line of ref point to target and returns the line that did
// before, if it was of another target. A target that loses its last line stays
// as a nameless one; one that gets a name needs no nameless line. ref nil only
// keeps the target.
func (x *index) claim(target ocispec.Descriptor, ref reference.Named) (before *ocispec.Descriptor) {
	target = x.inherit(NamedDescriptor(target, ref))
	var kept []line
	var losers []line
	have := false
	for _, l := range x.Manifests {
		same := l.Digest == target.Digest
		name := l.name()
		switch {
		case ref == nil && same:
			have = true
			kept = append(kept, l)
		case ref != nil && name != nil && name.String() == ref.String():
			if !same {
				losers = append(losers, l)
			}
		case ref != nil && same && name == nil && l.Annotations[ocispec.AnnotationRefName] == "":
			// its nameless line
		default:
			kept = append(kept, l)
		}
	}
	x.Manifests = kept
	for _, l := range losers {
		d := NamedDescriptor(l.Descriptor, nil)
		before = &d
		x.keep(d)
	}
	if !have {
		x.Manifests = append(x.Manifests, line{Descriptor: target})
	}
	x.shareSteps(target)
	return before
}

// keep adds a nameless line for a target that has no line.
func (x *index) keep(d ocispec.Descriptor) {
	for _, l := range x.Manifests {
		if l.Digest == d.Digest {
			return
		}
	}
	x.Manifests = append(x.Manifests, line{Descriptor: d})
}

// NamedDescriptor is a line of a layout's index.json as this store writes it: a
// target under a name, in place of the one it had; nil for a nameless one.
func NamedDescriptor(target ocispec.Descriptor, name reference.Named) ocispec.Descriptor {
	target.Annotations = nameAnnotations(target.Annotations, name)
	return target
}

// nameAnnotations copies annotations with the name replaced, or taken out.
func nameAnnotations(a map[string]string, ref reference.Named) map[string]string {
	out := map[string]string{}
	for k, v := range a {
		out[k] = v
	}
	delete(out, ocispec.AnnotationRefName)
	delete(out, annotationFullName)
	if ref != nil {
		out[ocispec.AnnotationRefName] = reference.FamiliarString(ref)
		out[annotationFullName] = ref.String()
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/internal/reference"
)

// List returns what lists show of the images, in the order of [Store.Images]
// and with its errors, but without reading each one: what never changes of an
// image is kept in one file, see [cards].
func (s *Store) List(ctx context.Context) ([]Summary, error) {
	x, err := s.scanIndex()
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	images, err := s.summaries(ctx, x)
	out := make([]Summary, len(images))
	for i, img := range images {
		out[i] = img.Summary
	}
	return out, err
}

// summaries are the images of an index, of which only the summary, the target
// and the digest of the manifest are set.
func (s *Store) summaries(ctx context.Context, x *index) ([]Image, error) {
	known := s.readCards()
	var unknown []ocispec.Descriptor
	targets := x.targets()
	for _, d := range targets {
		if _, ok := known[d.Digest]; !ok {
			unknown = append(unknown, d)
		}
	}
	read, err := s.readTargets(ctx, unknown)
	if err != nil {
		return nil, err
	}
	s.learn(known, targets, read)
	return s.group(x, func(l line) (*Image, error) {
		if r := read[l.Digest]; r != nil {
			return r.img, r.err
		}
		return known[l.Digest].image(l.Descriptor), nil
	})
}

// targets are the descriptors of an index, each digest once.
func (x *index) targets() []ocispec.Descriptor {
	seen := map[digest.Digest]bool{}
	var out []ocispec.Descriptor
	for _, l := range x.Manifests {
		if !seen[l.Digest] {
			seen[l.Digest] = true
			out = append(out, l.Descriptor)
		}
	}
	return out
}

// group makes the images of an index of what get answers for the first line of
// each target: one an ID, with the names and parents that the lines tell of.
func (s *Store) group(x *index, get func(l line) (*Image, error)) ([]Image, error) {
	byTarget := map[digest.Digest]*Image{}
	byID := map[digest.Digest]*Image{}
	names := x.names()
	var list []*Image
	var broken []error
	for i, l := range x.Manifests {
		img, seen := byTarget[l.Digest]
		if !seen {
			var err error
			switch img, err = get(l); {
			case errors.Is(err, ErrUnsupported):
				img = nil
			case err != nil:
				img = nil
				if errors.Is(err, fs.ErrNotExist) && s.gone(l) {
					break // removed since index.json was read
				}
				broken = append(broken, fmt.Errorf("image %s: %w", describe(l), err))
			case byID[img.ID] != nil:
				img = byID[img.ID]
				img.targets = append(img.targets, l.Digest)
			default:
				img.targets = []digest.Digest{l.Digest}
				byID[img.ID] = img
				list = append(list, img)
			}
			byTarget[l.Digest] = img
		}
		if img == nil {
			continue
		}
		if names[i] != nil {
			img.refs = append(img.refs, names[i])
		}
		if img.Parent == "" {
			img.Parent = parentOf(l.Descriptor)
		}
		if t := tagTime(l.Descriptor); t.After(img.Tagged) {
			img.Tagged = t
		}
		img.Built = img.Built || l.Annotations[AnnotationStep] != ""
	}
	x.family(byTarget, byID)
	slices.SortStableFunc(list, func(a, b *Image) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	out := make([]Image, 0, len(list))
	for _, img := range list {
		img.spellNames()
		out = append(out, *img)
	}
	return out, damagedHint(errors.Join(broken...))
}

// names is the name of every line, nil where it has none or a later line has it.
func (x *index) names() []reference.Named {
	out := make([]reference.Named, len(x.Manifests))
	last := map[string]int{}
	for i, l := range x.Manifests {
		if out[i] = l.name(); out[i] == nil {
			continue
		}
		full := out[i].String()
		if before, ok := last[full]; ok {
			out[before] = nil
		}
		last[full] = i
	}
	return out
}

// gone tells whether index.json, read again, has the line no more.
func (s *Store) gone(l line) bool {
	raw, err := s.rawIndex()
	if err != nil {
		return false
	}
	if all, ok := splitIndex(raw); ok { // one line is decoded, and not all
		return !slices.ContainsFunc(all, func(raw []byte) bool {
			if !bytes.Contains(raw, []byte(l.Digest)) && bytes.IndexByte(raw, '\\') < 0 {
				return false
			}
			var n line
			return json.Unmarshal(raw, &n) != nil || n.Digest == l.Digest
		})
	}
	x, err := s.scanIndex()
	return err == nil && !slices.ContainsFunc(x.Manifests, func(n line) bool { return n.Digest == l.Digest })
}

func describe(l line) string {
	if n := l.name(); n != nil {
		return reference.FamiliarString(n)
	}
	return string(l.Digest)
}

// spellNames fills in Names and Digests.
func (img *Summary) spellNames() {
	slices.SortFunc(img.refs, func(a, b reference.Named) int { return strings.Compare(a.String(), b.String()) })
	for _, n := range img.refs {
		list := &img.Names
		if _, ok := n.(reference.Canonical); ok {
			list = &img.Digests
		}
		*list = append(*list, reference.FamiliarString(n))
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/internal/parallel"
)

// An Image is what the store knows of one.
type Image struct {
	Names   []string           // as people type them, "debian:latest"; sorted; empty when dangling
	Digests []string           // "debian@sha256:…", the digests it was pulled by; sorted
	Target  ocispec.Descriptor // what its first line in index.json points to
	// Manifest is the image manifest, in an index of several or the target itself.
	Manifest ocispec.Descriptor
	ID       digest.Digest // of the config
	Config   ocispec.Image
	Layers   []ocispec.Descriptor // the blobs, bottom first, one a diff ID of Config
	Created  time.Time            // zero when the config does not tell
	Size     int64                // bytes of the files in all layers; of the blobs, for layers not yet packed

	mismatch error // why it is not for this machine
	targets  []digest.Digest
}

func shortID(id digest.Digest) string {
	if id.Validate() != nil {
		return string(id)
	}
	return id.Encoded()[:12]
}

// Images returns the images of the store, newest first, then by ID. Artifacts
// that are no images are left out. Where an image can't be read the others are
// returned with an error that tells which ones are missing.
func (s *Store) Images(ctx context.Context) ([]Image, error) {
	x, err := s.readIndex()
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	return s.imagesOf(ctx, x)
}

func (s *Store) imagesOf(ctx context.Context, x *index) ([]Image, error) {
	byTarget := map[digest.Digest]*Image{}
	byID := map[digest.Digest]*Image{}
	sizes := map[digest.Digest]int64{}
	names := x.names()
	read, err := s.readTargets(ctx, x)
	if err != nil {
		return nil, err
	}
	var list []*Image
	var broken []error
	for i, l := range x.Manifests {
		img, seen := byTarget[l.Digest]
		if !seen {
			m, err := read[l.Digest].m, read[l.Digest].err
			switch {
			case errors.Is(err, ErrUnsupported):
			case err != nil:
				if errors.Is(err, fs.ErrNotExist) && s.gone(l) {
					break // removed since index.json was read
				}
				broken = append(broken, fmt.Errorf("image %s: %w", describe(l), err))
			case byID[m.Manifest.Config.Digest] != nil:
				img = byID[m.Manifest.Config.Digest]
				img.targets = append(img.targets, l.Digest)
			default:
				img = s.newImage(l.Descriptor, m, sizes)
				byID[img.ID] = img
				list = append(list, img)
			}
			byTarget[l.Digest] = img
		}
		if img != nil {
			img.addName(names[i])
		}
	}
	out := make([]Image, 0, len(list))
	for _, img := range list {
		slices.Sort(img.Names)
		slices.Sort(img.Digests)
		out = append(out, *img)
	}
	slices.SortStableFunc(out, func(a, b Image) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return out, damagedHint(errors.Join(broken...))
}

// A readResult is what was read of a target, or why it could not be.
type readResult struct {
	m   Manifest
	err error
}

// readTargets reads every target of an index once, several at a time.
func (s *Store) readTargets(ctx context.Context, x *index) (map[digest.Digest]*readResult, error) {
	out := map[digest.Digest]*readResult{}
	var targets []ocispec.Descriptor
	for _, l := range x.Manifests {
		if out[l.Digest] == nil {
			out[l.Digest] = &readResult{}
			targets = append(targets, l.Descriptor)
		}
	}
	err := parallel.Do(ctx, runtime.GOMAXPROCS(0), len(targets), func(ctx context.Context, i int) error {
		r := out[targets[i].Digest]
		r.m, r.err = ReadTarget(ctx, s, targets[i], s.platform)
		return nil
	})
	return out, err
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
	x, err := s.readIndex()
	return err == nil && !slices.ContainsFunc(x.Manifests, func(n line) bool { return n.Digest == l.Digest })
}

func describe(l line) string {
	if n := l.name(); n != nil {
		return reference.FamiliarString(n)
	}
	return string(l.Digest)
}

func (s *Store) newImage(target ocispec.Descriptor, m Manifest, sizes map[digest.Digest]int64) *Image {
	img := &Image{
		Target:   target,
		Manifest: m.Descriptor,
		ID:       m.Manifest.Config.Digest,
		Config:   m.Config,
		Layers:   m.Manifest.Layers,
		mismatch: m.Mismatch,
		targets:  []digest.Digest{target.Digest},
	}
	if m.Config.Created != nil {
		img.Created = *m.Config.Created
	}
	for i, d := range m.Config.RootFS.DiffIDs {
		n, ok := sizes[d]
		if !ok {
			info, err := s.readLayerInfo(d)
			if n = info.Size; err != nil {
				n = m.Manifest.Layers[i].Size
			}
			sizes[d] = n
		}
		img.Size += n
	}
	return img
}

func (img *Image) addName(n reference.Named) {
	if n == nil {
		return
	}
	list := &img.Names
	if _, ok := n.(reference.Canonical); ok {
		list = &img.Digests
	}
	if f := reference.FamiliarString(n); !slices.Contains(*list, f) {
		*list = append(*list, f)
	}
}

// noBlob stands for a stream that can't be opened as the blob is not there.
func noBlob(d digest.Digest) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		return nil, fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
	}
}

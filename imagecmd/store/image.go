package store

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/internal/parallel"
	"github.com/cfs-project/cfs/internal/reference"
)

// A Summary is what a list shows of an image.
type Summary struct {
	Names    []string          // as people type them, "debian:latest"; in the order of the full names; empty when dangling
	Digests  []string          // "debian@sha256:…", the digests it was pulled by; in the same order
	ID       digest.Digest     // of the config
	Parent   digest.Digest     // ID of the image it was built on, see [AnnotationParent]; empty: none
	Children []digest.Digest   // IDs of the images built on it
	Built    bool              // a step of a build made it, see [AnnotationStep]
	Created  time.Time         // zero when the config does not tell
	Tagged   time.Time         // when it was last given a name, see [AnnotationTagged]; zero: never
	Labels   map[string]string // of the config
	Size     int64             // bytes of the files in all layers; of the blobs, for layers not yet packed

	targets []digest.Digest
	refs    []reference.Named // Names and Digests
}

// References are Names and Digests, in the order of the full names.
func (s *Summary) References() []reference.Named { return s.refs }

// An Image is what the store knows of one.
type Image struct {
	Summary
	Target ocispec.Descriptor // what its first line in index.json points to
	// Manifest is the image manifest, in an index of several or the target itself.
	Manifest   ocispec.Descriptor
	Config     ocispec.Image
	RawConfig  []byte               // its bytes, whose digest the ID is
	Layers     []ocispec.Descriptor // the blobs, bottom first, one a diff ID of Config
	LayerSizes []int64              // bytes of the files in each layer, as in Size

	mismatch error // why it is not for this machine
	unpacked bool  // Size is not what it will be
}

// For is [Manifest.For] of the variant that was chosen.
func (i Image) For(p ocispec.Platform) error {
	return Manifest{Mismatch: i.mismatch, Config: i.Config}.For(p)
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
	read, err := s.readTargets(ctx, x.targets())
	if err != nil {
		return nil, err
	}
	return s.group(x, func(l line) (*Image, error) { return read[l.Digest].img, read[l.Digest].err })
}

// A readResult is what was read of a target, or why it could not be.
type readResult struct {
	img *Image
	err error
}

// readTargets reads targets, several at a time.
func (s *Store) readTargets(ctx context.Context, targets []ocispec.Descriptor) (map[digest.Digest]*readResult, error) {
	out := map[digest.Digest]*readResult{}
	for _, d := range targets {
		out[d.Digest] = &readResult{}
	}
	err := parallel.Do(ctx, runtime.GOMAXPROCS(0), len(targets), func(ctx context.Context, i int) error {
		r := out[targets[i].Digest]
		m, err := ReadTarget(ctx, s, targets[i], s.platform)
		if r.err = err; err == nil {
			r.img = s.newImage(targets[i], m)
		}
		return nil
	})
	return out, err
}

func (s *Store) newImage(target ocispec.Descriptor, m Manifest) *Image {
	img := &Image{
		Summary:   Summary{ID: m.Manifest.Config.Digest, Labels: m.Config.Config.Labels},
		Target:    target,
		Manifest:  m.Descriptor,
		Config:    m.Config,
		RawConfig: m.RawConfig,
		Layers:    m.Manifest.Layers,
		mismatch:  m.Mismatch,

		LayerSizes: make([]int64, len(m.Config.RootFS.DiffIDs)),
	}
	if m.Config.Created != nil {
		img.Created = *m.Config.Created
	}
	for i, d := range m.Config.RootFS.DiffIDs {
		info, err := s.readLayerInfo(d)
		n := info.Size
		if err != nil {
			img.unpacked, n = true, m.Manifest.Layers[i].Size
		}
		img.LayerSizes[i] = n
		img.Size += n
	}
	return img
}

// noBlob stands for a stream that can't be opened as the blob is not there.
func noBlob(d digest.Digest) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		return nil, fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
	}
}

package imagecmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/archive"
	"github.com/cfs-project/cfs/imagecmd/internal/parallel"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/progress"
	"github.com/cfs-project/cfs/internal/reference"
)

// loaders is how many layers are unpacked at once. One saturates the
// decompressor, the second keeps the disk busy meanwhile.
const loaders = 2

// image brings one image of the archive in and says so.
func (l *loader) image(ctx context.Context, img archive.Image) error {
	in, err := l.st.Begin(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	target, id := img.Target, digest.Digest("")
	if target.Digest != "" {
		target, id, err = l.target(ctx, in, target)
	} else {
		target, id, err = l.docker(ctx, in, img)
	}
	if err != nil {
		if len(img.Names) > 0 {
			err = fmt.Errorf("%s: %w", reference.FamiliarString(img.Names[0]), err)
		}
		return err
	}
	displaced, err := in.Commit(ctx, target, img.Names...)
	if err != nil {
		return err
	}
	for _, d := range displaced {
		if d.ID != id {
			fmt.Fprintf(l.out, "The image %s already exists, renaming the old one with ID %s to empty string\n", reference.FamiliarString(d.Name), d.ID)
		}
	}
	for _, n := range img.Names {
		if _, err := fmt.Fprintf(l.out, "Loaded image: %s\n", reference.FamiliarString(n)); err != nil {
			return err
		}
	}
	if len(img.Names) == 0 {
		_, err = fmt.Fprintf(l.out, "Loaded image ID: %s\n", id)
	}
	return err
}

// A layerToLoad is one layer for layers.
type layerToLoad struct {
	id     string // under which its progress is shown
	size   int64  // bytes
	source func() (store.LayerSource, error)
}

// layers brings layers in, several at a time, and shows how far each is.
func (l *loader) layers(ctx context.Context, in *store.Ingest, list []layerToLoad) ([]store.Layer, error) {
	group := progress.New(l.out, l.style)
	defer group.Close()
	items := make([]*progress.Item, len(list))
	for i := range items {
		items[i] = group.Item(shortHex(list[i].id))
	}
	out := make([]store.Layer, len(list))
	order := parallel.LargestFirst(len(list), func(i int) int64 { return list[i].size })
	err := parallel.Do(ctx, loaders, len(list), func(ctx context.Context, k int) error {
		i := order[k]
		src, err := list[i].source()
		if err != nil {
			return err
		}
		worked := false
		src.MaxExpansion = l.o.MaxExpansion
		src.Progress = func(n int64) {
			worked = true
			items[i].State("Loading layer", n, list[i].size)
		}
		if out[i], err = in.Layer(ctx, src); err != nil {
			return err
		}
		if worked {
			items[i].Done("Complete")
		} else {
			items[i].Done("Already exists")
		}
		return nil
	})
	return out, err
}

// shortHex is the beginning of a digest's digits, or of a bare ID's.
func shortHex(s string) string {
	if _, hex, ok := strings.Cut(s, ":"); ok {
		s = hex
	}
	return s[:min(12, len(s))]
}

// docker brings a docker-archive's image in and gives it an OCI manifest. Config
// and layers stay byte for byte, so the image keeps its ID.
func (l *loader) docker(ctx context.Context, in *store.Ingest, img archive.Image) (target ocispec.Descriptor, id digest.Digest, err error) {
	diffIDs := img.Config.RootFS.DiffIDs
	if img.MakeConfig != nil {
		diffIDs = make([]digest.Digest, len(img.Layers))
		for i, layer := range img.Layers {
			diffIDs[i] = cmp.Or(layer.DiffID, l.v1[layer.ID]) // "" until another image has brought it
		}
	}
	list := make([]layerToLoad, len(img.Layers))
	for i, layer := range img.Layers {
		src := store.LayerSource{
			DiffID: diffIDs[i], Blob: layer.Blob, Size: sizeIfBlob(layer), Spool: layer.File.Spool, Open: layer.File.Open,
		}
		list[i] = layerToLoad{cmp.Or(layer.ID, string(diffIDs[i])), layer.File.Size, func() (store.LayerSource, error) { return src, nil }}
	}
	got, err := l.layers(ctx, in, list)
	if err != nil {
		return target, "", err
	}
	layers := make([]ocispec.Descriptor, len(got))
	for i, layer := range got {
		if layer.Descriptor.MediaType == "" {
			// The archive names the blob, and no manifest could.
			layer, err = in.Layer(ctx, store.LayerSource{DiffID: layer.DiffID, Size: -1, Open: img.Layers[i].File.Open})
			if err != nil {
				return target, "", err
			}
		}
		layers[i] = layer.Descriptor
		if img.MakeConfig != nil {
			diffIDs[i] = layer.DiffID
			l.v1[img.Layers[i].ID] = layer.DiffID
		}
	}
	if img.MakeConfig != nil {
		if img.RawConfig, err = img.MakeConfig(diffIDs); err != nil {
			return target, "", err
		}
		if img.Config, err = store.ParseConfig(img.RawConfig, len(layers)); err != nil {
			return target, "", err
		}
	}
	config, err := in.Bytes(ctx, ocispec.MediaTypeImageConfig, img.RawConfig)
	if err != nil {
		return target, "", err
	}
	target, err = putManifest(ctx, in, config, layers)
	if err != nil {
		return target, "", err
	}
	_, err = in.Chain(ctx, img.Config, layers)
	return target, config.Digest, err
}

// sizeIfBlob is a layer's size where it must be the blob's; a plain layer that
// is here already need not be read to its end.
func sizeIfBlob(l archive.Layer) int64 {
	if l.Blob != "" || l.File.Spool != nil {
		return l.File.Size
	}
	return -1
}

func putManifest(ctx context.Context, in *store.Ingest, config ocispec.Descriptor, layers []ocispec.Descriptor) (ocispec.Descriptor, error) {
	raw, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    layers,
	})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return in.Bytes(ctx, ocispec.MediaTypeImageManifest, raw)
}

// target brings a layout's target in: the image for this platform with its layers
// packed, and of the other platforms what the layout has of them, as blobs. It
// returns what was brought: the target, or of it the image for the platform that
// was asked for.
func (l *loader) target(ctx context.Context, in *store.Ingest, target ocispec.Descriptor) (ocispec.Descriptor, digest.Digest, error) {
	blobs := archive.Blobs{Files: l.files}
	want := l.st.Platform()
	if l.o.Platform != nil {
		want = *l.o.Platform
	}
	m, err := store.ReadTarget(ctx, blobs, target, want)
	if err != nil {
		return target, "", err
	}
	if l.o.Platform != nil {
		if err := m.For(want); err != nil {
			return target, "", err
		}
		target = m.Descriptor
	}
	if m.Mismatch == nil {
		list := make([]layerToLoad, len(m.Manifest.Layers))
		for i, d := range m.Manifest.Layers {
			diffID := m.Config.RootFS.DiffIDs[i]
			list[i] = layerToLoad{string(diffID), d.Size, func() (store.LayerSource, error) { return blobSource(blobs, d, diffID) }}
		}
		if _, err := l.layers(ctx, in, list); err != nil {
			return target, "", err
		}
	}
	if err := copyTarget(ctx, in, blobs, target, m.Descriptor.Digest, 0); err != nil {
		return target, "", err
	}
	if m.Mismatch == nil {
		if _, err := in.Chain(ctx, m.Config, m.Manifest.Layers); err != nil {
			return target, "", err
		}
	}
	return target, m.Manifest.Config.Digest, nil
}

// blobSource is a layout's layer as a source. One that the layout lacks may be in
// the store; if not, the layout's error is the source's.
func blobSource(blobs archive.Blobs, d ocispec.Descriptor, diffID digest.Digest) (store.LayerSource, error) {
	src := store.LayerSource{DiffID: diffID, Blob: d.Digest, Size: d.Size}
	f, err := blobs.Blob(d)
	switch {
	case err == nil:
		src.Spool, src.Open = f.Spool, f.Open
	case errors.Is(err, fs.ErrNotExist):
		missing := err
		src.Open = func() (io.ReadCloser, error) { return nil, missing }
	default:
		return src, err
	}
	return src, nil
}

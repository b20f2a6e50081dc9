package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// An Image is one image of an archive: a target in a layout, or a config and
// layers in a docker-archive.
type Image struct {
	Names  []reference.Named  // with tags; empty for a nameless one
	Target ocispec.Descriptor // Digest "" in a docker-archive

	RawConfig []byte        // docker-archive
	Config    ocispec.Image // docker-archive
	Layers    []Layer       // docker-archive; bottom first, one a diff ID of Config
	// MakeConfig stands for the config where an archive has none, as it was
	// written by Docker before 1.10; the diff IDs, bottom first, are the layers'.
	MakeConfig func(diffIDs []digest.Digest) ([]byte, error)
}

// A Layer is one layer of a docker-archive.
type Layer struct {
	File File
	Blob digest.Digest // what its name says of its bytes; "" nothing
	ID   string        // what Docker before 1.10 called it; "" nothing
	// DiffID is known without a config, where MakeConfig stands for that; "" it is not.
	DiffID digest.Digest
}

// Images lists the images of an archive, in its order.
func Images(ctx context.Context, fsys Files) ([]Image, error) {
	rawIndex, err := document(fsys, ocispec.ImageIndexFile)
	if err == nil {
		rawDocker, err := document(fsys, dockerManifestName)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return layoutImages(ctx, fsys, rawIndex, rawDocker)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	raw, err := document(fsys, dockerManifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return v1Images(fsys)
	}
	if err != nil {
		return nil, err
	}
	list, err := parseDocker(raw)
	if err != nil {
		return nil, err
	}
	var out []Image
	for _, d := range list {
		img, err := d.image(fsys)
		if err != nil {
			return nil, err
		}
		out = append(out, img)
	}
	return out, nil
}

func (d dockerImage) image(fsys Files) (Image, error) {
	raw, err := d.config(fsys)
	if err != nil {
		return Image{}, err
	}
	c, err := store.ParseConfig(raw, len(d.Layers))
	if err != nil {
		return Image{}, err
	}
	img := Image{Names: d.names, RawConfig: raw, Config: c}
	for _, name := range d.Layers {
		f, err := fsys.File(name)
		if err != nil {
			return Image{}, fmt.Errorf("layer: %w", err)
		}
		img.Layers = append(img.Layers, Layer{File: f, Blob: blobDigest(name)})
	}
	return img, nil
}

// parseIndex reads the index.json of a layout.
func parseIndex(raw []byte) (ocispec.Index, error) {
	var probe struct {
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(raw, &probe); err != nil {
		return ocispec.Index{}, fmt.Errorf("%w: %s: %w", ErrInvalid, ocispec.ImageIndexFile, err)
	}
	if probe.Manifests == nil || string(probe.Manifests) == "null" {
		return ocispec.Index{}, fmt.Errorf("%w: %s names no image", ErrInvalid, ocispec.ImageIndexFile)
	}
	x, err := store.ParseIndex(raw)
	if err != nil {
		return x, fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err)
	}
	if len(x.Manifests) == 0 {
		return x, fmt.Errorf("%w: %s names no image", ErrInvalid, ocispec.ImageIndexFile)
	}
	return x, nil
}

// layoutImages lists the targets of a layout, each once with all its names.
func layoutImages(ctx context.Context, fsys Files, rawIndex, rawDocker []byte) ([]Image, error) {
	x, err := parseIndex(rawIndex)
	if err != nil {
		return nil, err
	}
	var out []Image
	for _, d := range x.Manifests {
		i := slices.IndexFunc(out, func(img Image) bool { return img.Target.Digest == d.Digest })
		if i < 0 {
			i = len(out)
			out = append(out, Image{Target: store.WithoutSteps(d)})
		}
		if n := layoutName(d); n != nil {
			out[i].Names = addName(out[i].Names, n)
		}
	}
	if rawDocker == nil {
		return out, nil
	}
	list, err := parseDocker(rawDocker)
	if err != nil {
		return nil, err
	}
	for i := range out {
		m, err := store.ReadTarget(ctx, Blobs{fsys}, out[i].Target, store.HostPlatform())
		if err != nil {
			continue // told where the image is loaded
		}
		for _, d := range list {
			if b := blobDigest(d.Config); b != "" && b == m.Manifest.Config.Digest {
				for _, n := range d.names {
					out[i].Names = addName(out[i].Names, n)
				}
			}
		}
	}
	return out, nil
}

func addName(list []reference.Named, n reference.Named) []reference.Named {
	if slices.ContainsFunc(list, func(o reference.Named) bool { return o.String() == n.String() }) {
		return list
	}
	return append(list, n)
}

// layoutName is the name a layout gives a target; see the package comment.
func layoutName(d ocispec.Descriptor) reference.Named {
	for _, key := range []string{"io.containerd.image.name", ocispec.AnnotationRefName} {
		if n := store.ParseRefName(d.Annotations[key]); n != nil {
			return n
		}
	}
	return nil
}

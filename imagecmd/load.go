package imagecmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/archive"
	"github.com/cfs-project/cfs/imagecmd/internal/parallel"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// loaders is how many layers are unpacked at once. One saturates the
// decompressor, the second keeps the disk busy meanwhile.
const loaders = 2

// LoadOptions says what Load reads.
type LoadOptions struct {
	// Input is an archive or a directory; "" or "-" is Stdin.
	Input string
	Stdin io.Reader
	// MaxExpansion is how many times its compressed size the archive, and any
	// layer, may unpack to; 0 = layerpack.DefaultMaxExpansion, < 0 = no bound.
	MaxExpansion int64
}

// Load brings the images of an archive into the store: a docker-archive, an
// oci-archive or an OCI layout, as a file, compressed or not, or a directory. It
// prints "Loaded image: NAME:TAG" for every name and "Loaded image ID: ID" for an
// image without one. Images before one that fails are in the store.
func Load(ctx context.Context, st *store.Store, o LoadOptions, out io.Writer) error {
	ao := archive.Options{Store: st, MaxExpansion: o.MaxExpansion}
	var files archive.Files
	var err error
	if o.Input == "" || o.Input == "-" {
		files, err = archive.Read(ctx, o.Stdin, ao)
		if errors.Is(err, archive.ErrEmpty) {
			return fmt.Errorf("requested load from stdin, but stdin is empty")
		}
	} else {
		files, err = archive.Open(ctx, o.Input, ao)
	}
	if err != nil {
		return loadError(o, err)
	}
	defer files.Close()
	images, err := archive.Images(ctx, files)
	if err != nil {
		return loadError(o, err)
	}
	for _, img := range images {
		if err := loadImage(ctx, st, files, img, o, out); err != nil {
			return loadError(o, err)
		}
	}
	return nil
}

// loadError says which input, but for a missing one, which says so itself.
func loadError(o LoadOptions, err error) error {
	var missing *fs.PathError
	if errors.As(err, &missing) && missing.Path == o.Input {
		return err
	}
	if o.Input == "" || o.Input == "-" {
		return fmt.Errorf("load from stdin: %w", err)
	}
	return fmt.Errorf("load %s: %w", o.Input, err)
}

func loadImage(ctx context.Context, st *store.Store, files archive.Files, img archive.Image, o LoadOptions, out io.Writer) error {
	in, err := st.Begin(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	target, id := img.Target, digest.Digest("")
	if target.Digest != "" {
		id, err = loadTarget(ctx, st, in, files, target, o)
	} else {
		target, id, err = loadDocker(ctx, in, img, o)
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
			fmt.Fprintf(out, "The image %s already exists, renaming the old one with ID %s to empty string\n", reference.FamiliarString(d.Name), d.ID)
		}
	}
	for _, n := range img.Names {
		fmt.Fprintf(out, "Loaded image: %s\n", reference.FamiliarString(n))
	}
	if len(img.Names) == 0 {
		fmt.Fprintf(out, "Loaded image ID: %s\n", id)
	}
	return nil
}

// loadDocker brings a docker-archive's image in and gives it an OCI manifest.
// Config and layers stay byte for byte, so the image keeps its ID.
func loadDocker(ctx context.Context, in *store.Ingest, img archive.Image, o LoadOptions) (target ocispec.Descriptor, id digest.Digest, err error) {
	layers := make([]ocispec.Descriptor, len(img.Layers))
	err = parallel.Do(ctx, loaders, len(layers), func(ctx context.Context, i int) error {
		l := img.Layers[i]
		got, err := in.Layer(ctx, store.LayerSource{
			DiffID: img.Config.RootFS.DiffIDs[i], Blob: l.Blob, Size: sizeIfBlob(l),
			Spool: l.File.Spool, Open: l.File.Open, MaxExpansion: o.MaxExpansion,
		})
		if err == nil && got.Descriptor.MediaType == "" {
			// The archive names the blob, and no manifest could.
			got, err = in.Layer(ctx, store.LayerSource{DiffID: got.DiffID, Size: -1, Open: l.File.Open})
		}
		layers[i] = got.Descriptor
		return err
	})
	if err != nil {
		return target, "", err
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

// loadTarget brings a layout's target in: the image for this platform with its
// layers packed, and of the other platforms what the layout has of them, as blobs.
func loadTarget(ctx context.Context, st *store.Store, in *store.Ingest, files archive.Files, target ocispec.Descriptor, o LoadOptions) (digest.Digest, error) {
	blobs := archive.Blobs{Files: files}
	m, err := store.ReadTarget(ctx, blobs, target, st.Platform())
	if err != nil {
		return "", err
	}
	if m.Mismatch == nil {
		err := parallel.Do(ctx, loaders, len(m.Manifest.Layers), func(ctx context.Context, i int) error {
			l := m.Manifest.Layers[i]
			src := store.LayerSource{DiffID: m.Config.RootFS.DiffIDs[i], Blob: l.Digest, Size: l.Size, MaxExpansion: o.MaxExpansion}
			f, err := blobs.Blob(l)
			switch {
			case err == nil:
				src.Spool, src.Open = f.Spool, f.Open
			case errors.Is(err, fs.ErrNotExist):
				// It may be in the store; if not, this is the error.
				missing := err
				src.Open = func() (io.ReadCloser, error) { return nil, missing }
			default:
				return err
			}
			_, err = in.Layer(ctx, src)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	if err := copyTarget(ctx, in, blobs, target, m.Descriptor.Digest, 0); err != nil {
		return "", err
	}
	if m.Mismatch == nil {
		if _, err := in.Chain(ctx, m.Config, m.Manifest.Layers); err != nil {
			return "", err
		}
	}
	return m.Manifest.Config.Digest, nil
}

// copyTarget brings a document in with all it leads to. Only what the chosen
// manifest leads to must be there: an archive may hold some platforms of many.
func copyTarget(ctx context.Context, in *store.Ingest, blobs archive.Blobs, d ocispec.Descriptor, chosen digest.Digest, depth int) error {
	const maxNesting = 8
	if depth > maxNesting {
		return fmt.Errorf("%s: %w: indexes nested too deep", d.Digest, store.ErrInvalid)
	}
	raw, err := blobs.Document(ctx, d)
	if err != nil {
		return err
	}
	if x, err := store.ParseIndex(raw); err == nil {
		for _, c := range x.Manifests {
			err := copyTarget(ctx, in, blobs, c, chosen, depth+1)
			if err != nil && (c.Digest == chosen || !errors.Is(err, fs.ErrNotExist)) {
				return err
			}
		}
		return in.Blob(ctx, sized(d, raw), bytes.NewReader(raw))
	}
	m, err := store.ParseManifest(raw)
	if err != nil && !errors.Is(err, store.ErrUnsupported) {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	for _, c := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		err := copyBlob(ctx, in, blobs, c)
		if err != nil && (d.Digest == chosen || !errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	return in.Blob(ctx, sized(d, raw), bytes.NewReader(raw))
}

// sized fills in the size that a descriptor may lack.
func sized(d ocispec.Descriptor, raw []byte) ocispec.Descriptor {
	d.Size = int64(len(raw))
	return d
}

func copyBlob(ctx context.Context, in *store.Ingest, blobs archive.Blobs, d ocispec.Descriptor) error {
	if have, err := in.HasBlob(ctx, d); have || err != nil {
		return err
	}
	f, err := blobs.Blob(d)
	if err != nil {
		return err
	}
	rc, err := f.Open()
	if err != nil {
		return err
	}
	defer rc.Close()
	return in.Blob(ctx, d, rc)
}

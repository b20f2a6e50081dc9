package imagecmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/archive"
	"github.com/cfs-project/cfs/imagecmd/store"
)

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

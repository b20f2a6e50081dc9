package imagecmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/remote"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// ManifestOptions says which manifest is shown, and how.
type ManifestOptions struct {
	List     string // a list that is here, of which Name is an image; empty: none
	Name     string // REPOSITORY[:TAG][@DIGEST]
	Verbose  bool   // every manifest, with its descriptor and platform
	Registry RegistryOptions
}

// InspectManifest prints a list of manifests that was made below root, or else a
// manifest, or an index, as a registry has it.
func InspectManifest(ctx context.Context, root string, o ManifestOptions, out io.Writer) error {
	if found, err := inspectManifestList(root, o, out); found {
		return err
	}
	client, err := o.Registry.client()
	if err != nil {
		return err
	}
	list, err := candidates(client, o.Name)
	if err != nil {
		return err
	}
	for _, c := range list {
		ref := reference.TagNameOnly(c.Name)
		err = inspectManifest(ctx, client, ref, o, out)
		if !errors.Is(err, fs.ErrNotExist) {
			return registryError(err, ref)
		}
	}
	return fmt.Errorf("no such manifest: %s", o.Name) // Docker's sentence
}

func inspectManifest(ctx context.Context, client *remote.Client, ref reference.Named, o ManifestOptions, out io.Writer) error {
	_, byDigest := ref.(reference.Digested)
	repo, err := client.Pull(ref, byDigest)
	if err != nil {
		return err
	}
	d, raw, err := repo.Manifest(ctx, remoteRef(ref))
	if err != nil {
		return err
	}
	var text []byte
	if o.Verbose {
		if text, err = verboseManifest(ctx, repo, ref, d, raw); err != nil {
			return err
		}
	} else {
		text = raw
	}
	return printManifest(out, text)
}

// printManifest prints JSON as Docker does here.
func printManifest(out io.Writer, text []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "\t"); err != nil {
		return fmt.Errorf("%w: %w", remote.ErrInvalid, err)
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(out)
	return err
}

// manifestInfo is a manifest as Docker's --verbose shows it.
type manifestInfo struct {
	Ref              string
	Descriptor       ocispec.Descriptor
	Raw              []byte
	SchemaV2Manifest json.RawMessage `json:",omitempty"`
	OCIManifest      json.RawMessage `json:",omitempty"`
}

// verboseManifest is one object, or for an index a list of them.
func verboseManifest(ctx context.Context, repo *remote.Repository, ref reference.Named, d ocispec.Descriptor, raw []byte) ([]byte, error) {
	d.MediaType = mediaTypeOf(raw)
	x, err := store.ParseIndex(raw)
	if err != nil {
		info := newManifestInfo(ref.String(), d, raw)
		info.Descriptor.Platform = platformOf(ctx, repo, raw)
		return json.Marshal(info)
	}
	list := []manifestInfo{}
	for _, m := range x.Manifests {
		raw, err := repo.Document(ctx, m)
		if err != nil {
			return nil, err
		}
		at, err := reference.WithDigest(ref, m.Digest)
		if err != nil {
			return nil, err
		}
		list = append(list, newManifestInfo(at.String(), m, raw))
	}
	return json.Marshal(list)
}

func newManifestInfo(ref string, d ocispec.Descriptor, raw []byte) manifestInfo {
	info := manifestInfo{Ref: ref, Descriptor: d, Raw: raw, OCIManifest: raw}
	if d.MediaType != ocispec.MediaTypeImageManifest && d.MediaType != ocispec.MediaTypeImageIndex {
		info.SchemaV2Manifest, info.OCIManifest = raw, nil
	}
	return info
}

// platformOf is what an image's config says it runs on; nil: it says nothing, or
// is none.
func platformOf(ctx context.Context, repo *remote.Repository, raw []byte) *ocispec.Platform {
	m, err := store.ParseManifest(raw)
	if err != nil {
		return nil
	}
	config, err := repo.Document(ctx, m.Config)
	if err != nil {
		return nil
	}
	var p ocispec.Platform
	if json.Unmarshal(config, &p) != nil || p.OS == "" {
		return nil
	}
	return &p
}

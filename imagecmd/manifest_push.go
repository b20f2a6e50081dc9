package imagecmd

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/internal/manifestlist"
	"github.com/cfs-project/cfs/imagecmd/internal/parallel"
	"github.com/cfs-project/cfs/imagecmd/remote"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// PushManifestOptions say which list is pushed.
type PushManifestOptions struct {
	List     string
	Purge    bool // remove it then
	Registry RegistryOptions
}

// PushManifestList puts a list into the repository of its name, after what it refers
// to in other repositories of the registry: nothing goes through this host but
// manifests. It prints what Docker prints: the images that were brought into the
// repository, and the list's digest.
func PushManifestList(ctx context.Context, root string, o PushManifestOptions, out io.Writer) error {
	name, err := manifestName(o.List)
	if err != nil {
		return err
	}
	l, err := manifestLists(root).Read(name)
	if err != nil {
		return err
	}
	d, raw, err := l.Index()
	if err != nil {
		return err
	}
	client, err := o.Registry.client()
	if err != nil {
		return err
	}
	repo, err := client.Push(name)
	if err != nil {
		return err
	}
	if err := bringEntries(ctx, repo, name, l.Entries, out); err != nil {
		return pushError(err, name)
	}
	if err := repo.Put(ctx, remoteRef(name), d, raw); err != nil {
		return pushError(err, name)
	}
	if _, err := fmt.Fprintln(out, d.Digest); err != nil {
		return err
	}
	if o.Purge {
		return manifestLists(root).Remove(name)
	}
	return nil
}

// bringEntries has the repository have all that the entries are made of.
func bringEntries(ctx context.Context, repo *remote.Repository, to reference.Named, entries []manifestlist.Entry, out io.Writer) error {
	for _, e := range entries {
		from, err := reference.ParseNormalizedNamed(e.Ref)
		if err != nil {
			return err
		}
		if from.Name() == to.Name() {
			continue
		}
		m, err := store.ParseManifest(e.Raw)
		if err != nil {
			return fmt.Errorf("manifest %s: %w", e.Ref, err)
		}
		blobs := distinct(append([]ocispec.Descriptor{m.Config}, m.Layers...))
		err = parallel.Do(ctx, uploads, len(blobs), func(ctx context.Context, i int) error {
			return mountBlob(ctx, repo, blobs[i], from, to)
		})
		if err != nil {
			return err
		}
		at, err := reference.WithDigest(reference.TrimNamed(to), e.Descriptor.Digest)
		if err != nil {
			return err
		}
		if err := repo.Put(ctx, string(e.Descriptor.Digest), e.Descriptor, e.Raw); err != nil {
			return err
		}
		fmt.Fprintf(out, "Pushed ref %s with digest: %s\n", at, e.Descriptor.Digest)
	}
	return nil
}

func distinct(list []ocispec.Descriptor) (out []ocispec.Descriptor) {
	seen := map[digest.Digest]bool{}
	for _, d := range list {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			out = append(out, d)
		}
	}
	return out
}

// mountBlob has a registry give one repository what another one of it has.
func mountBlob(ctx context.Context, repo *remote.Repository, d ocispec.Descriptor, from, to reference.Named) error {
	if len(d.URLs) > 0 {
		return nil // its publisher has it, registries don't
	}
	have, err := repo.HasBlob(ctx, d)
	if have || err != nil {
		return err
	}
	mounted, _, err := repo.Mount(ctx, d, reference.Path(from))
	if err == nil && !mounted {
		err = fmt.Errorf("error mounting %s@%s to %s", from.Name(), d.Digest, to) // Docker's sentence
	}
	return err
}

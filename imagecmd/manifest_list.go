package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/internal/manifestlist"
	"github.com/cfs-project/cfs/imagecmd/remote"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// ManifestListOptions say which list of manifests is made.
type ManifestListOptions struct {
	List     string   // its name, which it is pushed to
	Images   []string // in registries
	Amend    bool     // also a list that is there
	Registry RegistryOptions
}

// manifestLists is where a store's root has them.
func manifestLists(root string) manifestlist.Dir {
	return manifestlist.Dir(filepath.Join(root, "manifests"))
}

// manifestName is a name in full, with its tag or digest.
func manifestName(name string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, err
	}
	if _, ok := ref.(reference.Canonical); ok {
		return ref, nil
	}
	return reference.TagNameOnly(ref), nil
}

// CreateManifestList fetches the manifests of images, each for one platform, and keeps
// them as a list below root. It prints Docker's sentence.
func CreateManifestList(ctx context.Context, root string, o ManifestListOptions, out io.Writer) error {
	name, err := manifestName(o.List)
	if err != nil {
		return fmt.Errorf("error parsing name for manifest list %s: %w", o.List, err)
	}
	lists := manifestLists(root)
	before, err := lists.Read(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if before != nil && !o.Amend {
		return errAmend
	}
	client, err := o.Registry.client()
	if err != nil {
		return err
	}
	var entries []manifestlist.Entry
	for _, image := range o.Images {
		ref, err := manifestName(image)
		if err != nil {
			return err
		}
		if before != nil && before.Find(ref.String()) != nil {
			entries = append(entries, *before.Find(ref.String())) // with what it was annotated
			continue
		}
		e, err := fetchEntry(ctx, client, ref)
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	// Without the lock so far, as a registry may be slow.
	err = lists.Change(name, func(l *manifestlist.List) (*manifestlist.List, error) {
		if l != nil && !o.Amend {
			return nil, errAmend
		}
		if l == nil {
			l = &manifestlist.List{Name: name.String()}
		}
		for _, e := range entries {
			if l.Find(e.Ref) == nil {
				l.Entries = append(l.Entries, e)
			}
		}
		return l, nil
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Created manifest list %s\n", name)
	return err
}

var errAmend = errors.New("refusing to amend an existing manifest list with no --amend flag")

// fetchEntry reads the manifest of an image, and from its config what it runs on.
func fetchEntry(ctx context.Context, client *remote.Client, ref reference.Named) (manifestlist.Entry, error) {
	e := manifestlist.Entry{Ref: ref.String()}
	_, byDigest := ref.(reference.Digested)
	repo, err := client.Pull(ref, byDigest)
	if err != nil {
		return e, err
	}
	d, raw, err := repo.Manifest(ctx, remoteRef(ref))
	if errors.Is(err, fs.ErrNotExist) {
		return e, fmt.Errorf("no such manifest: %s", ref) // Docker's sentence
	}
	if err != nil {
		return e, registryError(err, ref)
	}
	if _, err := store.ParseIndex(raw); err == nil {
		return e, fmt.Errorf("%s is a manifest list", ref)
	}
	if _, err := store.ParseManifest(raw); err != nil {
		return e, fmt.Errorf("manifest %s: %w", ref, err)
	}
	e.Descriptor = ocispec.Descriptor{MediaType: mediaTypeOf(raw), Digest: d.Digest, Size: d.Size, Platform: platformOf(ctx, repo, raw)}
	e.Raw = raw
	return e, nil
}

// AnnotateOptions say what an image of a list runs on. What is empty stays as it is.
type AnnotateOptions struct {
	List, Image       string
	OS, Arch, Variant string
	OSVersion         string
	OSFeatures        []string // more of them
}

// AnnotateManifest changes what a list tells of an image's platform.
func AnnotateManifest(root string, o AnnotateOptions) error {
	list, err := manifestName(o.List)
	if err != nil {
		return fmt.Errorf("annotate: error parsing name for manifest list %s: %w", o.List, err)
	}
	image, err := manifestName(o.Image)
	if err != nil {
		return fmt.Errorf("annotate: error parsing name for manifest %s: %w", o.Image, err)
	}
	missing := fmt.Errorf("manifest for image %s does not exist in %s", o.Image, o.List)
	if _, err := manifestLists(root).Read(list); errors.Is(err, fs.ErrNotExist) {
		return missing
	}
	return manifestLists(root).Change(list, func(l *manifestlist.List) (*manifestlist.List, error) {
		if l == nil || l.Find(image.String()) == nil {
			return nil, missing
		}
		e := l.Find(image.String())
		p := ocispec.Platform{}
		if e.Descriptor.Platform != nil {
			p = *e.Descriptor.Platform
		}
		for at, value := range map[*string]string{&p.OS: o.OS, &p.Architecture: o.Arch, &p.Variant: o.Variant, &p.OSVersion: o.OSVersion} {
			if value != "" {
				*at = value
			}
		}
		for _, f := range o.OSFeatures {
			if !slices.Contains(p.OSFeatures, f) {
				p.OSFeatures = append(p.OSFeatures, f)
			}
		}
		if !slices.Contains(strings.Fields(platforms[p.OS]), p.Architecture) {
			return nil, fmt.Errorf("manifest entry for image has unsupported os/arch combination: %s/%s", p.OS, p.Architecture)
		}
		e.Descriptor.Platform = &p
		return l, nil
	})
}

// platforms are the architectures of every system that images can be for, in Go's
// words (go tool dist list), as the image specification has them.
var platforms = map[string]string{
	"aix":       "ppc64",
	"android":   "386 amd64 arm arm64",
	"darwin":    "386 amd64 arm arm64",
	"dragonfly": "amd64",
	"freebsd":   "386 amd64 arm arm64 riscv64",
	"illumos":   "amd64",
	"js":        "wasm",
	"linux":     "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x",
	"netbsd":    "386 amd64 arm arm64",
	"openbsd":   "386 amd64 arm arm64 ppc64 riscv64",
	"plan9":     "386 amd64 arm",
	"solaris":   "amd64",
	"wasip1":    "wasm",
	"windows":   "386 amd64 arm arm64",
}

// RemoveManifestLists removes lists. What is not there keeps none from it; the error
// then joins one of each.
func RemoveManifestLists(root string, names []string) error {
	var errs []error
	for _, n := range names {
		name, err := manifestName(n)
		if err == nil {
			err = manifestLists(root).Remove(name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// inspectManifestList prints a list that is here, or one image of it; found is false
// where there is no list of that name.
func inspectManifestList(root string, o ManifestOptions, out io.Writer) (found bool, err error) {
	name, err := manifestName(o.Name)
	if err != nil {
		return false, err
	}
	listName := name
	if o.List != "" {
		if listName, err = manifestName(o.List); err != nil {
			return false, err
		}
	}
	l, err := manifestLists(root).Read(listName)
	if err != nil {
		return o.List != "" || !errors.Is(err, fs.ErrNotExist), err
	}
	if o.List != "" {
		e := l.Find(name.String())
		switch {
		case e == nil:
			return true, &manifestlist.NotFoundError{Name: name.String()}
		case !o.Verbose:
			return true, printManifest(out, e.Raw)
		}
		return true, printObject(out, newManifestInfo(e.Ref, e.Descriptor, e.Raw))
	}
	if o.Verbose {
		infos := []manifestInfo{}
		for _, e := range l.Entries {
			infos = append(infos, newManifestInfo(e.Ref, e.Descriptor, e.Raw))
		}
		return true, printObject(out, infos)
	}
	_, raw, err := l.Index()
	if err == nil {
		_, err = fmt.Fprintf(out, "%s\n", raw) // what is pushed
	}
	return true, err
}

func printObject(out io.Writer, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return printManifest(out, raw)
}

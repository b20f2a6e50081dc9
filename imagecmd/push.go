package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/remote"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/internal/progress"
	"github.com/cfs-project/cfs/internal/reference"
)

// PushOptions says what Push pushes.
type PushOptions struct {
	Name    string // REPOSITORY[:TAG]
	AllTags bool   // all tags that the store has of the repository
	// Platform is the one image of several to push; nil is all that are here.
	Platform *ocispec.Platform
	Quiet    bool // print the name alone
	Registry RegistryOptions
}

// Push uploads an image and prints what Docker prints: the layers, and of every
// tag its digest. Manifests go as they are, byte for byte; but plain layers of an
// image that no registry has had are compressed, and the image is from then on
// the one with the compressed layers.
func Push(ctx context.Context, st *store.Store, o PushOptions, out io.Writer) error {
	ref, err := reference.ParseNormalizedNamed(o.Name)
	if err != nil {
		return err
	}
	if _, ok := ref.(reference.Digested); ok {
		return errors.New("cannot push a digest reference") // Docker's words
	}
	switch {
	case o.AllTags && !reference.IsNameOnly(ref):
		return errors.New("tag can't be used with --all-tags/-a")
	case !o.AllTags && reference.IsNameOnly(ref):
		ref = reference.TagNameOnly(ref)
		if !o.Quiet {
			fmt.Fprintln(out, "Using default tag: latest")
		}
	}
	client, err := o.Registry.client()
	if err != nil {
		return err
	}
	if !o.Quiet {
		fmt.Fprintf(out, "The push refers to repository [%s]\n", ref.Name())
	}
	refs := []reference.Named{ref}
	if o.AllTags {
		if refs, err = localTags(ctx, st, ref); err != nil {
			return err
		}
	}
	repo, err := client.Push(ref)
	if err != nil {
		return err
	}
	p := &pusher{st: st, repo: repo, o: o, out: out, style: progress.StyleFor(out, o.Quiet)}
	for _, r := range refs {
		if err := p.push(ctx, r); err != nil {
			return pushError(err, r)
		}
	}
	if o.Quiet {
		_, err = fmt.Fprintln(out, ref.String())
	}
	return err
}

// localTags are the names that the store has of a repository.
func localTags(ctx context.Context, st *store.Store, repo reference.Named) ([]reference.Named, error) {
	images, broken := st.Images(ctx)
	var out []reference.Named
	for _, img := range images {
		for _, name := range img.Names {
			if ref, err := reference.ParseNormalizedNamed(name); err == nil && ref.Name() == repo.Name() {
				out = append(out, ref)
			}
		}
	}
	slices.SortFunc(out, func(a, b reference.Named) int { return strings.Compare(a.String(), b.String()) })
	if len(out) == 0 {
		return nil, errors.Join(notLocal(repo), broken)
	}
	return out, broken
}

// notLocal is Docker's sentence.
func notLocal(ref reference.Named) error {
	return sentencef(nil, "An image does not exist locally with the tag: %s", reference.FamiliarName(ref))
}

// pushError says in Docker's words what went wrong.
func pushError(err error, ref reference.Named) error {
	var answer *remote.Error
	switch {
	case errors.Is(err, remote.ErrNoCredentials):
		return hint.With(remote.ErrNoCredentials, "cfs login "+reference.Domain(ref))
	case errors.As(err, &answer) && (answer.Code == "DENIED" || answer.Code == "UNAUTHORIZED"):
		return hint.With(err, "who may push to "+reference.FamiliarName(ref)+"? cfs login "+reference.Domain(ref))
	case errors.As(err, &answer) && answer.Status != 429:
		return err
	}
	return registryError(err, ref)
}

// A pusher is one Push.
type pusher struct {
	st    *store.Store
	repo  *remote.Repository
	o     PushOptions
	out   io.Writer
	style progress.Style
	known []store.KnownLayer // nil until it is needed
}

// push uploads one tag.
func (p *pusher) push(ctx context.Context, ref reference.Named) error {
	img, err := p.st.Resolve(ctx, ref.String())
	if errors.Is(err, store.ErrNotFound) || err == nil && !slices.Contains(img.Names, reference.FamiliarString(ref)) {
		return notLocal(ref)
	}
	if err != nil {
		return err
	}
	in, err := p.st.Begin(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	target, err := p.target(ctx, in, img, ref)
	if err != nil {
		return err
	}
	tag := remoteRef(ref)
	at, err := p.repo.Head(ctx, tag)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	list, target, err := p.plan(ctx, in, target, at.Digest)
	if err != nil {
		return err
	}
	if err := p.send(ctx, in, list, tag, ref); err != nil {
		return err
	}
	if !p.o.Quiet {
		fmt.Fprintf(p.out, "%s: digest: %s size: %d\n", tag, target.Digest, target.Size)
	}
	return p.remember(ctx, in, img, ref, target)
}

// remember names the image by the digest that the repository has now and, if its
// layers were compressed, by its tag.
func (p *pusher) remember(ctx context.Context, in *store.Ingest, img store.Image, ref reference.Named, target ocispec.Descriptor) error {
	digested, err := reference.WithDigest(reference.TrimNamed(ref), target.Digest)
	if err != nil {
		return err
	}
	names := []reference.Named{digested}
	switch {
	case p.o.Platform != nil || target.Digest == img.Target.Digest:
		if slices.Contains(img.Digests, reference.FamiliarString(digested)) {
			return nil
		}
	case target.Digest != img.Manifest.Digest:
		names = append(names, ref)
	}
	target.Platform = nil
	_, err = in.Commit(ctx, target, names...)
	return err
}

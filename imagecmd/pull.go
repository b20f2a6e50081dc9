package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/remote"
	"github.com/cfs-project/cfs/imagecmd/remote/registries"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/progress"
	"github.com/cfs-project/cfs/internal/reference"
)

// PullOptions says what Pull pulls.
type PullOptions struct {
	Name    string // REPOSITORY[:TAG][@DIGEST]
	AllTags bool   // all tags of the repository
	// Platform is which image of several to pull; nil is the store's.
	Platform *ocispec.Platform
	Quiet    bool // print the name alone
	Nameless bool // don't print the name
	// MaxExpansion is as in [LoadOptions].
	MaxExpansion int64
	Registry     RegistryOptions
}

// Pull brings an image in from a registry and prints what Docker prints: the
// layers, the digest, the status, and the image's full name. What is here is not
// fetched, and what was fetched of an interrupted pull neither. A short name that
// registries.conf has another registry for is that one's, and a tag beside it.
func Pull(ctx context.Context, st *store.Store, o PullOptions, out io.Writer) error {
	ref, err := reference.ParseNormalizedNamed(o.Name)
	if err != nil {
		return err
	}
	switch {
	case o.AllTags && !reference.IsNameOnly(ref):
		return errors.New("tag can't be used with --all-tags/-a") // Docker's words
	case !o.AllTags && reference.IsNameOnly(ref) && !o.Quiet:
		fmt.Fprintln(out, "Using default tag: latest")
	}
	if o.Platform != nil {
		if st, err = store.Open(st.Root(), store.Options{Platform: o.Platform}); err != nil {
			return err
		}
	}
	client, err := o.Registry.client()
	if err != nil {
		return err
	}
	list, err := candidates(client, o.Name)
	if err != nil {
		return err
	}
	p := &puller{st: st, client: client, o: o, asked: ref, out: out, style: progress.StyleFor(out, o.Quiet), packing: make(chan struct{}, unpackers)}
	var missing error
	for _, c := range list {
		err := p.candidate(ctx, c)
		if err == nil {
			return nil
		}
		err = registryError(err, reference.TagNameOnly(c.Name))
		if !errors.Is(err, fs.ErrNotExist) || len(list) == 1 {
			return err
		}
		missing = errors.Join(missing, err)
	}
	return missing
}

// A puller is one Pull.
type puller struct {
	st      *store.Store
	client  *remote.Client
	o       PullOptions
	asked   reference.Named // what was asked for, by Docker's rules
	out     io.Writer
	style   progress.Style
	packing chan struct{} // as many as may unpack at once
}

// candidate pulls one of the names that may be meant, or all its tags.
func (p *puller) candidate(ctx context.Context, c registries.Candidate) error {
	if c.From != "" && c.Name.Name() != p.asked.Name() {
		p.o.Registry.say("%s is an alias of %s (%s)", p.o.Name, reference.FamiliarName(c.Name), c.From)
	}
	name := c.Name
	if !p.o.AllTags {
		name = reference.TagNameOnly(name)
	}
	_, byDigest := name.(reference.Digested)
	repo, err := p.client.Pull(name, byDigest)
	if err != nil {
		return err
	}
	pulls := []reference.Named{name}
	if p.o.AllTags {
		if pulls, err = allTags(ctx, repo, name); err != nil {
			return err
		}
	}
	newer := false
	for _, ref := range pulls {
		fetched, err := p.pull(ctx, repo, ref)
		if err != nil {
			return err
		}
		newer = newer || fetched
	}
	switch {
	case p.o.Quiet:
	case newer:
		fmt.Fprintf(p.out, "Status: Downloaded newer image for %s\n", reference.FamiliarString(name))
	default:
		fmt.Fprintf(p.out, "Status: Image is up to date for %s\n", reference.FamiliarString(name))
	}
	if !p.o.Nameless {
		_, err = fmt.Fprintln(p.out, name.String())
	}
	return err
}

func allTags(ctx context.Context, repo *remote.Repository, name reference.Named) ([]reference.Named, error) {
	tags, err := repo.Tags(ctx)
	if err != nil {
		return nil, err
	}
	var out []reference.Named
	for _, t := range tags {
		ref, err := reference.WithTag(name, t)
		if err != nil {
			return nil, fmt.Errorf("%w: tag %.200q", remote.ErrInvalid, t)
		}
		out = append(out, ref)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("repository %s has no tags", reference.FamiliarName(name))
	}
	return out, nil
}

// pull brings one tag or digest in. fetched is false when the store had it, by
// that name, already.
func (p *puller) pull(ctx context.Context, repo *remote.Repository, ref reference.Named) (fetched bool, err error) {
	key := remoteRef(ref)
	target, err := repo.Head(ctx, key)
	var answer *remote.Error
	if errors.As(err, &answer) && answer.Code == "" || err == nil && target.Digest == "" {
		// An answer to HEAD has no body to say what is wrong, and some no digest.
		target, _, err = repo.Manifest(ctx, key)
	}
	if err != nil {
		return false, err
	}
	target.Size = 0 // what a proxy says of a document's length is not needed
	if !p.o.Quiet {
		shown := key
		if _, ok := ref.(reference.Digested); ok {
			shown = ref.String()
		}
		fmt.Fprintf(p.out, "%s: Pulling from %s\n", shown, reference.Path(ref))
	}
	in, err := p.st.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer in.Close()
	names, known, err := p.names(ctx, ref, target)
	if err != nil {
		return false, err
	}
	src := &fetchedDocuments{local: p.st, repo: repo}
	m, err := p.manifest(ctx, src, target, ref)
	if err != nil {
		return false, err
	}
	if err := p.bring(ctx, in, repo, src, m, &target); err != nil {
		return false, err
	}
	if !known {
		if _, err := in.Commit(ctx, target, names...); err != nil {
			return false, err
		}
	}
	if !p.o.Quiet {
		fmt.Fprintf(p.out, "Digest: %s\n", target.Digest)
	}
	return src.fetched || !known, nil
}

// remoteRef is what a registry is asked for: the digest, or else the tag.
func remoteRef(ref reference.Named) string {
	if d, ok := ref.(reference.Digested); ok {
		return d.Digest().String()
	}
	return ref.(reference.Tagged).Tag()
}

// names are what the image is to be called: its tag, the digest it was pulled by,
// and a short name that was asked for. known: it is, all of it.
func (p *puller) names(ctx context.Context, ref reference.Named, target ocispec.Descriptor) ([]reference.Named, bool, error) {
	digested, err := reference.WithDigest(reference.TrimNamed(ref), target.Digest)
	if err != nil {
		return nil, false, err
	}
	names := []reference.Named{digested}
	if _, byDigest := ref.(reference.Digested); !byDigest {
		names = append(names, ref)
		if tag := ref.(reference.Tagged).Tag(); ref.Name() != p.asked.Name() {
			short, err := reference.WithTag(reference.TrimNamed(p.asked), tag)
			if err != nil {
				return nil, false, err
			}
			names = append(names, short)
		}
	}
	for _, n := range names {
		img, err := p.st.Resolve(ctx, n.String())
		if errors.Is(err, store.ErrNotFound) {
			return names, false, nil
		}
		if err != nil || img.Target.Digest != target.Digest {
			return names, false, nil // what can't be read is written anew
		}
	}
	return names, true, nil
}

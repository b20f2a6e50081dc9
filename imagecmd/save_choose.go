package imagecmd

import (
	"context"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// A savedImage is a target that is saved, with the names that were asked for.
type savedImage struct {
	asked  string // what was asked for first
	target ocispec.Descriptor
	names  []reference.NamedTagged
}

// chooseSaved finds images as Docker's save does: an image that is asked for by
// its ID is saved without names, by a name with that one, and a repository with
// all of its tags. Each target is saved once, in the order of the first asking.
func chooseSaved(ctx context.Context, st *store.Store, asked []string) ([]savedImage, error) {
	var out []savedImage
	add := func(asked, name string) error {
		img, err := st.Resolve(ctx, name)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(out, func(s savedImage) bool { return s.target.Digest == img.Target.Digest })
		if at < 0 {
			at = len(out)
			out = append(out, savedImage{asked: asked, target: img.Target})
		}
		if n := tagOf(img, name); n != nil && !slices.ContainsFunc(out[at].names, func(o reference.NamedTagged) bool { return o.String() == n.String() }) {
			out[at].names = append(out[at].names, n)
		}
		return nil
	}
	for _, name := range asked {
		tags, err := tagsOf(ctx, st, name)
		if err != nil {
			return nil, err
		}
		if len(tags) == 0 {
			tags = []string{name}
		}
		for _, t := range tags {
			if err := add(name, t); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// tagOf is the tag that an image was found by; nil where it was another thing.
func tagOf(img store.Image, name string) reference.NamedTagged {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil
	}
	tagged, ok := reference.TagNameOnly(ref).(reference.NamedTagged)
	if _, digested := ref.(reference.Digested); !ok || digested || !slices.Contains(img.Names, reference.FamiliarString(tagged)) {
		return nil
	}
	return tagged
}

// tagsOf is all names of a repository, where name is that of one, without a tag;
// sorted.
func tagsOf(ctx context.Context, st *store.Store, name string) ([]string, error) {
	ref, err := reference.ParseAnyReference(name)
	if err != nil {
		return nil, err
	}
	repo, ok := ref.(reference.Named)
	if !ok || !reference.IsNameOnly(repo) {
		return nil, nil
	}
	images, _ := st.Images(ctx) // one that can't be read is missed where it is asked for
	var out []string
	for _, img := range images {
		for _, n := range img.Names {
			if of, err := reference.ParseNormalizedNamed(n); err == nil && of.Name() == repo.Name() {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

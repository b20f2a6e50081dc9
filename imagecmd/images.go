package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/go-units"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// ImagesOptions says which images are listed, and how.
type ImagesOptions struct {
	// Reference keeps only the names it matches: a repository, a name with its
	// tag, or a pattern of path.Match over either.
	Reference string
	Quiet     bool // IDs only
	NoTrunc   bool // whole IDs
	Digests   bool // a column for the digests images were pulled by
	// Format is a Go template, "table TEMPLATE", "table", or "json" for an
	// object a line.
	Format string
	// Now is what ages are counted from; zero is the clock.
	Now time.Time
}

// imageRow is one line: a name of an image, or an image without one. Its
// methods are the fields of templates, as Docker names them.
type imageRow struct {
	img     store.Image
	repo    string
	tag     string
	digest  string
	now     time.Time
	noTrunc bool
}

const none = "<none>"

// Images lists images as a table, newest first. Where some can't be read, the
// others are listed and the error tells of those.
func Images(ctx context.Context, st *store.Store, o ImagesOptions, out io.Writer) error {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	match, err := matcher(o.Reference)
	if err != nil {
		return err
	}
	images, broken := st.Images(ctx)
	if images == nil && broken != nil {
		return broken
	}
	var rows []*imageRow
	for _, img := range images {
		rows = append(rows, rowsOf(img, match, o)...)
	}
	return errors.Join(writeImages(out, rows, o), broken)
}

// rowsOf is one row a tag; an image known by digests alone has one each,
// without tags, and a nameless one, which no reference matches, one.
func rowsOf(img store.Image, match func(reference.Named) bool, o ImagesOptions) []*imageRow {
	digests := map[string]string{}
	for _, d := range img.Digests {
		repo, dgst, _ := strings.Cut(d, "@")
		digests[repo] = dgst
	}
	row := func(repo, tag, dgst string) *imageRow {
		return &imageRow{img: img, repo: repo, tag: tag, digest: dgst, now: o.Now, noTrunc: o.NoTrunc}
	}
	var rows []*imageRow
	tagged := map[string]bool{}
	for _, name := range img.Names {
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			continue
		}
		repo := reference.FamiliarName(ref)
		tagged[repo] = true
		if !match(ref) {
			continue
		}
		dgst := digests[repo]
		if dgst == "" {
			dgst = none
		}
		rows = append(rows, row(repo, ref.(reference.NamedTagged).Tag(), dgst))
	}
	for _, name := range img.Digests {
		repo, dgst, _ := strings.Cut(name, "@")
		ref, err := reference.ParseNormalizedNamed(name)
		if err == nil && !tagged[repo] && match(ref) {
			rows = append(rows, row(repo, none, dgst))
		}
	}
	if len(img.Names)+len(img.Digests) == 0 && match(nil) {
		rows = append(rows, row(none, none, none))
	}
	return rows
}

// matcher is Docker's `images REPOSITORY[:TAG]`.
func matcher(pattern string) (func(reference.Named) bool, error) {
	if pattern == "" {
		return func(reference.Named) bool { return true }, nil
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("invalid reference pattern %q: %w", pattern, err)
	}
	return func(ref reference.Named) bool {
		if ref == nil {
			return false
		}
		ok, err := reference.FamiliarMatch(pattern, ref)
		if !ok && err == nil {
			ok, _ = path.Match(pattern, reference.FamiliarName(ref))
		}
		return ok
	}, nil
}

// ID is the image's ID, of 12 digits unless it is not truncated.
func (r *imageRow) ID() string {
	if r.noTrunc {
		return string(r.img.ID)
	}
	return r.img.ID.Encoded()[:12]
}

// Repository is the name without its tag.
func (r *imageRow) Repository() string { return r.repo }

// Tag is the tag.
func (r *imageRow) Tag() string { return r.tag }

// Digest is the digest the image was pulled by.
func (r *imageRow) Digest() string { return r.digest }

// CreatedSince is the image's age, in words.
func (r *imageRow) CreatedSince() string {
	if r.img.Created.IsZero() {
		return "N/A"
	}
	return units.HumanDuration(r.now.Sub(r.img.Created)) + " ago"
}

// CreatedAt is when the image was made.
func (r *imageRow) CreatedAt() string { return r.img.Created.UTC().Round(time.Second).String() }

// Size is the size of the image's files.
func (r *imageRow) Size() string { return units.HumanSizeWithPrecision(float64(r.img.Size), 3) }

// VirtualSize is Size with one digit more, as Docker has it.
func (r *imageRow) VirtualSize() string { return units.HumanSize(float64(r.img.Size)) }

// Containers, SharedSize and UniqueSize are not counted here; Docker's list says so too.
func (r *imageRow) Containers() string { return "N/A" }

// SharedSize is not counted here.
func (r *imageRow) SharedSize() string { return "N/A" }

// UniqueSize is not counted here.
func (r *imageRow) UniqueSize() string { return "N/A" }

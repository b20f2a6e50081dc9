package imagecmd

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/cfs-project/cfs/imagecmd/internal/format"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// ImagesOptions says which images are listed, and how.
type ImagesOptions struct {
	// Reference keeps only the names it matches: a repository, a name with its
	// tag, or a pattern of path.Match over either.
	Reference string
	// Filters are dangling, label, before, since, until and reference.
	Filters Filters
	All     bool // intermediate images too: nameless parents
	Quiet   bool // IDs only
	NoTrunc bool // whole IDs
	Digests bool // a column for the digests images were pulled by
	// Format is a Go template, "table TEMPLATE", "table", or "json" for an
	// object a line.
	Format string
	// Now is what ages are counted from; zero is the clock.
	Now time.Time
}

// Images lists images as a table, newest first. Where some can't be read, the
// others are listed and the error tells of those.
func Images(ctx context.Context, st *store.Store, o ImagesOptions, out io.Writer) error {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Reference != "" {
		o.Filters.list = append(o.Filters.list, filter{"reference", o.Reference})
	}
	keep, err := newImageFilter(ctx, st, &o)
	if err != nil {
		return err
	}
	images, broken := st.List(ctx)
	if images == nil && broken != nil {
		return broken
	}
	spec := format.Spec(o.Format, o.Quiet)
	table := format.Table{Columns: imageColumns, Titles: imageTitles}
	if o.Digests && format.IsTable(spec) {
		if spec == "table" {
			table.Columns = imageDigestColumns
		} else if !strings.Contains(spec, "{{.Digest}}") {
			spec += `\t{{.Digest}}`
		}
	}
	digests := o.Digests || strings.Contains(spec, "{{.Digest}}")
	var rows []*imageRow
	for i := range images {
		if names, ok := keep.image(&images[i]); ok {
			rows = append(rows, imageRows(&images[i], names, digests, o)...)
		}
	}
	return errors.Join(format.Write(out, table, spec, rows), broken)
}

// imageRows is one row a tag and, where digests are asked for, one a digest it
// was pulled by; a repository of which the image has digests alone has one
// without a tag; a nameless image one without anything.
func imageRows(img *store.Summary, names []reference.Named, digests bool, o ImagesOptions) []*imageRow {
	row := func(repo, tag, dgst string) *imageRow {
		return newImageRow(img, repo, tag, dgst, o.NoTrunc, o.Now, nil)
	}
	if len(names) == 0 {
		return []*imageRow{row(none, none, none)}
	}
	pulled := map[string][]string{} // the digests of a repository
	tagged := map[string]bool{}
	for _, n := range names {
		switch n := n.(type) {
		case reference.Canonical:
			pulled[n.Name()] = append(pulled[n.Name()], string(n.Digest()))
		default:
			tagged[n.Name()] = true
		}
	}
	var rows []*imageRow
	for _, n := range names {
		repo, list := reference.FamiliarName(n), pulled[n.Name()]
		if !digests || len(list) == 0 {
			list = []string{none}
		}
		switch n := n.(type) {
		case reference.Canonical:
			if digests && !tagged[n.Name()] {
				rows = append(rows, row(repo, none, string(n.Digest())))
			} else if !tagged[n.Name()] {
				tagged[n.Name()] = true // one row, whatever the number of digests
				rows = append(rows, row(repo, none, none))
			}
		case reference.NamedTagged:
			for _, d := range list {
				rows = append(rows, row(repo, n.Tag(), d))
			}
		}
	}
	return rows
}

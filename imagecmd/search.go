package imagecmd

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cfs-project/cfs/imagecmd/internal/format"
	"github.com/cfs-project/cfs/imagecmd/remote"
	"github.com/cfs-project/cfs/imagecmd/remote/registries"
)

// SearchOptions says what is searched for, and how it is shown.
type SearchOptions struct {
	// Term is searched for on Docker Hub, or on the registry before its first
	// slash; nothing after that slash is everything the registry has.
	Term    string
	Filters Filters // is-official, is-automated: booleans; stars: at least so many
	Limit   int     // 1 to MaxSearch
	NoTrunc bool    // whole descriptions
	// Format is a Go template, "table TEMPLATE", "table", or "json" for an
	// object a line.
	Format   string
	Registry RegistryOptions
}

// MaxSearch is the most results that are asked for, as Docker Hub has it.
const MaxSearch = 100

// Search lists repositories by what a registry's search says of a term, those
// with the most stars first.
func Search(ctx context.Context, o SearchOptions, out io.Writer) error {
	if o.Limit < 1 || o.Limit > MaxSearch {
		return sentencef(nil, "Limit %d is outside the range of [1, %d]", o.Limit, MaxSearch)
	}
	keep, err := searchFilter(&o.Filters)
	if err != nil {
		return err
	}
	registry, term := "docker.io", o.Term
	if !registries.IsShort(o.Term) {
		registry, term, _ = strings.Cut(o.Term, "/")
	}
	if strings.Contains(o.Term, "://") || registry == "docker.io" && term == "" {
		return errors.New("invalid search term: it is TERM, or HOST[:PORT]/[TERM]")
	}
	client, err := o.Registry.client()
	if err != nil {
		return err
	}
	found, err := client.Search(ctx, registry, term, o.Limit)
	if err != nil {
		return searchError(err)
	}
	slices.SortStableFunc(found, func(a, b remote.Result) int { return cmp.Compare(b.Stars, a.Stars) })
	var rows []*searchRow
	for _, r := range found {
		if !keep(r) {
			continue
		}
		if registry != "docker.io" {
			r.Name = registry + "/" + r.Name
		}
		rows = append(rows, newSearchRow(r, o.NoTrunc))
	}
	return format.Write(out, searchTable, format.Spec(o.Format, false), rows)
}

func searchError(err error) error {
	var answer *remote.Error
	if errors.As(err, &answer) && answer.Code == "" {
		return sentencef(err, "Unexpected status code %d", answer.Status)
	}
	return tlsHint(err)
}

// searchFilter is what --filter keeps.
func searchFilter(f *Filters) (func(remote.Result) bool, error) {
	if err := f.check("is-official", "is-automated", "stars"); err != nil {
		return nil, err
	}
	official, err := f.boolean("is-official")
	if err != nil {
		return nil, err
	}
	automated, err := f.boolean("is-automated")
	if err != nil {
		return nil, err
	}
	stars := 0
	for _, v := range f.of("stars") {
		n, err := strconv.Atoi(v)
		if err != nil {
			return nil, sentencef(nil, "Invalid filter 'stars=%s'", v)
		}
		stars = max(stars, n)
	}
	return func(r remote.Result) bool {
		return r.Stars >= stars && (official == nil || *official == r.Official) && (automated == nil || *automated == r.Automated)
	}, nil
}

var searchTable = format.Table{
	Columns: "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
	Titles: map[string]string{
		"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL", "IsAutomated": "AUTOMATED",
	},
}

// searchRow is one line. Its fields are those of templates, as Docker names and,
// in JSON, orders them.
type searchRow struct {
	Description string // what its owner says of it, on one line
	IsAutomated string // "[OK]" for one that the registry built
	IsOfficial  string // "[OK]" for one that the registry vouches for
	Name        string
	StarCount   string // how many people like it
}

// maxDescription is how much of a description is shown, in characters.
const maxDescription = 45

func newSearchRow(r remote.Result, noTrunc bool) *searchRow {
	text := strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, r.Description)
	if c := []rune(text); !noTrunc && len(c) > maxDescription {
		text = string(c[:maxDescription-1]) + "…"
	}
	return &searchRow{text, okay(r.Automated), okay(r.Official), r.Name, strconv.Itoa(r.Stars)}
}

func okay(is bool) string {
	if is {
		return "[OK]"
	}
	return ""
}

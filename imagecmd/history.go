package imagecmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/internal/format"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// HistoryOptions says whose history is shown, and how.
type HistoryOptions struct {
	Image string
	// Platform is which image of several; nil is the store's.
	Platform *ocispec.Platform
	Raw      bool // sizes in bytes, times in full: the opposite of Docker's --human
	NoTrunc  bool
	Quiet    bool   // IDs only
	Format   string // as in [ImagesOptions]
	Now      time.Time
}

const (
	historyColumns    = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
	historyColumnsRaw = "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
)

var historyTitles = map[string]string{
	"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY",
	"Size": "SIZE", "Comment": "COMMENT",
}

// History lists the steps an image was made in, newest first, each with what it
// added. A step has an ID where the image that it made is here: the image
// itself, and its parents.
func History(ctx context.Context, st *store.Store, o HistoryOptions, out io.Writer) error {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	img, err := resolveTaggedFor(ctx, st, o.Image, o.Platform)
	if err != nil {
		return err
	}
	rows, err := historyRows(img, o)
	if err != nil {
		return err
	}
	ids, err := ancestry(ctx, st, img, len(rows))
	if err != nil {
		return err
	}
	for i, id := range ids {
		rows[i].ID = string(id)
		if !o.NoTrunc {
			rows[i].ID = id.Encoded()[:12]
		}
	}
	table := format.Table{Columns: historyColumns, Titles: historyTitles}
	if o.Raw {
		table.Columns = historyColumnsRaw
	}
	return format.Write(out, table, format.Spec(o.Format, o.Quiet), rows)
}

func historyRows(img store.Image, o HistoryOptions) ([]*historyRow, error) {
	var rows []*historyRow
	layer := 0
	for _, h := range img.Config.History {
		size := int64(0)
		if !h.EmptyLayer {
			if layer == len(img.LayerSizes) {
				return nil, fmt.Errorf("image %s: too many non-empty layers in History section", img.ID)
			}
			size = img.LayerSizes[layer]
			layer++
		}
		rows = append(rows, newHistoryRow(h, size, o))
	}
	slices.Reverse(rows)
	return rows, nil
}

// ancestry is the image's ID and those of its parents that are here, as many
// as there are steps.
func ancestry(ctx context.Context, st *store.Store, img store.Image, steps int) ([]digest.Digest, error) {
	ids := []digest.Digest{img.ID}
	if img.Parent != "" {
		images, err := st.List(ctx)
		if images == nil && err != nil {
			return nil, err
		}
		parents := map[digest.Digest]digest.Digest{}
		for _, i := range images {
			parents[i.ID] = i.Parent
		}
		for id := img.Parent; len(ids) < steps; {
			next, here := parents[id]
			if !here {
				break
			}
			ids = append(ids, id)
			id = next
		}
	}
	return ids[:min(len(ids), steps)], nil
}

// historyRow is one step, with Docker's fields in the order of Docker's JSON.
type historyRow struct {
	Comment      string
	CreatedAt    string
	CreatedBy    string // the command
	CreatedSince string
	ID           string // of the image that the step made, or "<missing>"
	Size         string // of the files in the step's layer
}

// MarshalJSON is the row as {{json .}} prints it.
func (r *historyRow) MarshalJSON() ([]byte, error) {
	type plain historyRow
	return json.Marshal((*plain)(r))
}

// createdByWidth is how much of a command a table shows, in characters.
const createdByWidth = 45

func newHistoryRow(h ocispec.History, size int64, o HistoryOptions) *historyRow {
	r := &historyRow{
		ID: "<missing>", Comment: h.Comment, CreatedBy: strings.ReplaceAll(h.CreatedBy, "\t", " "),
		Size: units.HumanSizeWithPrecision(float64(size), 3), CreatedAt: "N/A", CreatedSince: "N/A",
	}
	if h.Created != nil {
		r.CreatedAt, r.CreatedSince = h.Created.UTC().Format("2006-01-02T15:04:05Z07:00"), age(*h.Created, o.Now)
	}
	if !o.NoTrunc {
		r.CreatedBy = ellipsis(r.CreatedBy, createdByWidth)
	}
	if o.Raw {
		r.CreatedSince, r.Size = r.CreatedAt, strconv.FormatInt(size, 10)
	}
	return r
}

// ellipsis cuts a text at a number of characters, the last of them "…".
func ellipsis(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return s
}

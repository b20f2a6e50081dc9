package imagecmd

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/docker/go-units"

	"github.com/cfs-project/cfs/imagecmd/store"
)

const none = "<none>"

const (
	imageColumns       = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
	imageDigestColumns = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
)

// imageTitles are the column titles of the fields of [imageRow].
var imageTitles = map[string]string{
	"ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST",
	"CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE", "VirtualSize": "SIZE",
	"Containers": "CONTAINERS", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
}

// imageRow is one line: a name of an image, or an image without one. Its
// fields are those of Docker's templates, in the order of Docker's JSON.
type imageRow struct {
	Containers   string // made of it; a list does not count them
	CreatedAt    string // in the local time zone
	CreatedSince string
	Digest       string // it was pulled by
	ID           string
	Repository   string
	SharedSize   string // of the layers that other images have too
	Size         string // of the image's files
	Tag          string
	UniqueSize   string // of the layers that only this image has
	VirtualSize  string // Size with one digit more
}

// MarshalJSON is the row as {{json .}} prints it.
func (r *imageRow) MarshalJSON() ([]byte, error) {
	type plain imageRow
	return json.Marshal((*plain)(r))
}

// newImageRow is the row of an image by one of its names; of usage, which may be
// nil, come the columns that lists leave open.
func newImageRow(img *store.Summary, repo, tag, dgst string, whole bool, now time.Time, usage *imageUsage) *imageRow {
	r := &imageRow{
		Containers: "N/A", SharedSize: "N/A", UniqueSize: "N/A",
		CreatedAt: time.Unix(img.Created.Unix(), 0).String(), CreatedSince: age(img.Created, now),
		ID: string(img.ID), Repository: repo, Tag: tag, Digest: dgst,
		Size:        units.HumanSizeWithPrecision(float64(img.Size), 3),
		VirtualSize: units.HumanSize(float64(img.Size)),
	}
	if !whole {
		r.ID = img.ID.Encoded()[:12]
	}
	if usage != nil {
		r.Containers = strconv.Itoa(usage.containers)
		r.SharedSize = units.HumanSize(float64(usage.shared))
		r.UniqueSize = units.HumanSize(float64(img.Size - usage.shared))
	}
	return r
}

// age is how long ago something was, in words.
func age(t, now time.Time) string {
	if t.IsZero() {
		return "N/A"
	}
	return units.HumanDuration(now.Sub(t)) + " ago"
}

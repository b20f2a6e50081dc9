package imagecmd

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/docker/go-units"

	"github.com/cfs-project/cfs/internal/reference"
)

const (
	usageColumns          = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"
	usageImageColumns     = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.VirtualSize}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}"
	usageContainerColumns = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}"
	usageVolumeColumns    = "{{.Name}}\t{{.Links}}\t{{.Size}}"
	usageCacheColumns     = "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}"
)

var usageTitles = map[string]string{
	"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE",
}

var containerTitles = map[string]string{
	"ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "LocalVolumes": "LOCAL VOLUMES", "Size": "SIZE",
	"RunningFor": "CREATED", "Status": "STATUS", "Names": "NAMES",
}

// usageCacheTitles are of a table that is empty.
var usageCacheTitles = map[string]string{
	"ID": "CACHE ID", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedSince": "CREATED",
	"LastUsedSince": "LAST USED", "UsageCount": "USAGE", "Shared": "SHARED",
}

// usageRow is a line of system df, with Docker's fields.
type usageRow struct {
	Active      string // how many are in use
	Reclaimable string // what those not in use take
	Size        string // what all take
	TotalCount  string // how many there are
	Type        string // the kind of things
}

// MarshalJSON is the row as {{json .}} prints it.
func (r *usageRow) MarshalJSON() ([]byte, error) {
	type plain usageRow
	return json.Marshal((*plain)(r))
}

// newUsageRow counts things, and the bytes of all and of those not in use.
func newUsageRow(kind string, total, active int, size, free int64) *usageRow {
	r := &usageRow{
		Type: kind, TotalCount: strconv.Itoa(total), Active: strconv.Itoa(active),
		Size: units.HumanSize(float64(size)), Reclaimable: units.HumanSize(float64(free)),
	}
	if size > 0 {
		r.Reclaimable += fmt.Sprintf(" (%d%%)", free*100/size)
	}
	return r
}

// containerUsage is what disk usage counts of a container.
type containerUsage struct {
	*Container
	state   State
	running bool
	size    int64 // bytes of the files it has changed
}

// containerRow is a container in the long form of system df, with Docker's fields.
type containerRow struct {
	Command      string
	ID           string
	Image        string // as it was asked for
	LocalVolumes string // how many
	Names        string
	RunningFor   string // its age
	Size         string // of what it has changed
	Status       string
}

// MarshalJSON is the row as {{json .}} prints it.
func (r *containerRow) MarshalJSON() ([]byte, error) {
	type plain containerRow
	return json.Marshal((*plain)(r))
}

// commandWidth is how much of a command a table shows, in characters.
const commandWidth = 20

func newContainerRow(c containerUsage, whole bool, now time.Time) *containerRow {
	r := &containerRow{
		ID: c.ID, Image: c.Image, Command: c.commandLine(), LocalVolumes: strconv.Itoa(c.volumes()), Names: c.Name,
		RunningFor: age(c.Created, now), Size: units.HumanSizeWithPrecision(float64(c.size), 3),
		Status: c.describe(c.state, c.running, now),
	}
	if !whole {
		r.ID, r.Command = c.ShortID(), ellipsis(r.Command, commandWidth)
	}
	r.Command = strconv.Quote(r.Command)
	return r
}

// splitTag takes NAME:TAG apart.
func splitTag(name string) (repo, tag string) {
	ref, err := reference.ParseNormalizedNamed(name)
	if t, ok := ref.(reference.NamedTagged); err == nil && ok {
		return reference.FamiliarName(ref), t.Tag()
	}
	return none, none
}

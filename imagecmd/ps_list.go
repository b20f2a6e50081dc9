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

	"github.com/cfs-project/cfs/imagecmd/internal/format"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

const psColumns = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"

// psTitles are the column titles of the fields of [psRow].
var psTitles = map[string]string{
	"ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT", "RunningFor": "CREATED", "Status": "STATUS",
	"State": "STATE", "Ports": "PORTS", "Names": "NAMES", "Size": "SIZE", "Labels": "LABELS", "Mounts": "MOUNTS", "Networks": "NETWORKS",
	"LocalVolumes": "LOCAL VOLUMES",
}

// psRow is a line of ps, with Docker's fields.
type psRow struct {
	Command      string // quoted
	CreatedAt    string // in the local time zone
	ID           string
	Image        string // as it was asked for, unless that is another one now
	Labels       string
	LocalVolumes string // how many
	Mounts       string // volumes and paths of the host, separated by commas
	Names        string
	Networks     string
	Ports        string
	RunningFor   string // its age
	Size         string // of what it has changed, and with the image; 0B unless it is asked for
	State        string // created, running, paused, exited
	Status       string // the same in words

	labels map[string]string
}

// MarshalJSON is the row as {{json .}} prints it.
func (r *psRow) MarshalJSON() ([]byte, error) {
	type plain psRow
	return json.Marshal((*plain)(r))
}

// Label is the value of a label.
func (r *psRow) Label(name string) string { return r.labels[name] }

// PsOptions says which containers are listed, and how.
type PsOptions struct {
	All     bool // those that have ended, too
	Last    int  // only so many of all, the newest; 0: no bound
	Filters Filters
	Size    bool // count the files that they have changed
	Quiet   bool // IDs only
	NoTrunc bool
	Format  string    // as in [ImagesOptions]
	Now     time.Time // what ages are counted from; zero is the clock
}

// ListContainers lists containers, newest first: those that run, or all that are kept.
func ListContainers(ctx context.Context, st *store.Store, o PsOptions, out io.Writer) error {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	spec := format.Spec(o.Format, o.Quiet)
	o.Size = o.Size || strings.Contains(spec, ".Size")
	list, err := OpenContainers(st.Root()).List()
	if err != nil {
		return err
	}
	keep, err := newPsFilter(ctx, st, &o)
	if err != nil {
		return err
	}
	names, err := imageNames(ctx, st, list)
	if err != nil {
		return err
	}
	rows, seen := []*psRow{}, 0
	for _, c := range slices.Backward(list) {
		state, err := c.State()
		if err != nil {
			return err
		}
		now := c.objectState(state)
		if !keep.container(c, now, state) {
			continue
		}
		if seen++; o.Last > 0 && seen > o.Last {
			break
		}
		row := c.psRow(now, state, names, o)
		if o.Size {
			if row.Size, err = psSize(st, c); err != nil {
				return err
			}
		}
		rows = append(rows, row)
	}
	table := format.Table{Columns: psColumns, Titles: psTitles}
	if o.Size && spec == "table" {
		table.Columns += "\t{{.Size}}"
	}
	return format.Write(out, table, spec, rows)
}

// imageNames are the IDs that names of images mean; empty without containers.
func imageNames(ctx context.Context, st *store.Store, list []*Container) (map[string]string, error) {
	names := map[string]string{}
	if len(list) == 0 {
		return names, nil
	}
	images, err := st.List(ctx)
	if images == nil && err != nil {
		return nil, err
	}
	for i := range images {
		for _, n := range append(slices.Clone(images[i].Names), images[i].Digests...) {
			names[n] = string(images[i].ID)
		}
	}
	return names, nil
}

func (c *Container) psRow(now ContainerState, s State, names map[string]string, o PsOptions) *psRow {
	command := c.commandLine()
	r := &psRow{
		ID: c.ID, Image: c.imageName(names, o.NoTrunc), CreatedAt: time.Unix(c.Created.Unix(), 0).String(), RunningFor: age(c.Created, o.Now),
		Status: c.describe(s, now.Running, o.Now), State: now.Status, Names: c.Name, Labels: pairs(c.Options.Labels), labels: c.Options.Labels,
		LocalVolumes: strconv.Itoa(c.volumes()), Networks: c.networkName(), Size: "0B",
	}
	if now.Running && c.MountedAt == "" {
		r.Ports = describePorts(c.bound(), c.Options.Expose)
	}
	var mounts []string
	for _, m := range c.Options.Mounts {
		if m.Type == mountTmpfs {
			continue
		}
		if !o.NoTrunc {
			m.Source = ellipsis(m.Source, mountWidth)
		}
		mounts = append(mounts, m.Source)
	}
	r.Mounts = strings.Join(mounts, ",")
	if !o.NoTrunc {
		r.ID, command = c.ShortID(), ellipsis(command, commandWidth)
	}
	r.Command = strconv.Quote(command)
	return r
}

// commandLine is the command as lists show it, arguments with blanks in quotes.
func (c *Container) commandLine() string {
	words := slices.Clone(c.Command)
	for i, w := range words {
		if i > 0 && strings.Contains(w, " ") {
			words[i] = "'" + w + "'"
		}
	}
	return strings.Join(words, " ")
}

// networkName is the container's network as lists and filters have it.
func (c *Container) networkName() string {
	if connected(c.Options.Network) {
		return NetworkBridge
	}
	return c.Options.Network
}

// mountWidth is how much of a mount's source a table shows, in characters.
const mountWidth = 15

// imageName is what the container's image is called: as it was asked for, or by its ID
// if that is, or is another image's name now.
func (c *Container) imageName(names map[string]string, whole bool) string {
	id := string(c.ImageID)
	name := c.Image
	if ref, err := reference.ParseNormalizedNamed(name); err == nil {
		tagged := reference.FamiliarString(reference.TagNameOnly(ref))
		if now, ok := names[tagged]; ok && now == id {
			return name
		}
		if now, ok := names[tagged]; ok && now != id || !isHex(name) {
			name = id
		}
	}
	if short := strings.TrimPrefix(id, "sha256:")[:12]; !whole && strings.HasPrefix(strings.TrimPrefix(name, "sha256:"), short) {
		return short
	}
	return name
}

// isHex tells whether an image may have been named by a beginning of its ID.
func isHex(name string) bool {
	return strings.Trim(strings.TrimPrefix(name, "sha256:"), "0123456789abcdef") == ""
}

func psSize(st *store.Store, c *Container) (string, error) {
	changed, err := containerSize(st.Root(), c)
	if err != nil {
		return "", err
	}
	below, err := st.ChainSize(c.Layers)
	if err != nil {
		return "", err
	}
	human := func(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }
	return fmt.Sprintf("%s (virtual %s)", human(changed), human(changed+below)), nil
}

package imagecmd

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/cfs-project/cfs/imagecmd/internal/format"
)

const volumeColumns = "{{.Driver}}\t{{.Name}}"

// volumeTitles are the column titles of the fields of [volumeRow].
var volumeTitles = map[string]string{
	"Name": "VOLUME NAME", "Driver": "DRIVER", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS",
	"Links": "LINKS", "Size": "SIZE", "Availability": "AVAILABILITY", "Group": "GROUP", "Status": "STATUS",
}

// volumeRow is a line of volume ls, with Docker's fields. Those of clusters have no
// value.
type volumeRow struct {
	Availability string
	Driver       string
	Group        string
	Labels       string // KEY=VALUE, separated by commas
	Links        string // containers that have it; a list does not count them
	Mountpoint   string
	Name         string
	Scope        string
	Size         string // of its files; a list does not count them
	Status       string

	labels map[string]string
}

// MarshalJSON is the row as {{json .}} prints it.
func (r *volumeRow) MarshalJSON() ([]byte, error) {
	type plain volumeRow
	return json.Marshal((*plain)(r))
}

// Label is the value of a label.
func (r *volumeRow) Label(name string) string { return r.labels[name] }

func newVolumeRow(v *Volume) *volumeRow {
	const unknown = "N/A"
	return &volumeRow{
		Availability: unknown, Driver: localDriver, Group: unknown, Labels: pairs(v.Labels), Links: unknown,
		Mountpoint: v.Mountpoint(), Name: v.Name, Scope: localDriver, Size: unknown, Status: unknown, labels: v.Labels,
	}
}

// counted fills in what disk usage counts.
func (r *volumeRow) counted(links int, size int64) *volumeRow {
	r.Links, r.Size = strconv.Itoa(links), units.HumanSize(float64(size))
	return r
}

// pairs are labels as lists show them, in the order of their keys.
func pairs(m map[string]string) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, k+"="+m[k])
	}
	return strings.Join(all, ",")
}

// VolumesOptions says which volumes are listed, and how.
type VolumesOptions struct {
	Filters Filters // dangling, driver, label, name
	Quiet   bool    // names only
	Format  string  // as in [ImagesOptions]
}

// ListVolumes lists the volumes of the store at root, by name.
func ListVolumes(root string, o VolumesOptions, out io.Writer) error {
	if err := o.Filters.check("dangling", "driver", "label", "name"); err != nil {
		return err
	}
	dangling, err := o.Filters.boolean("dangling")
	if err != nil {
		return err
	}
	all, err := OpenVolumes(root).List()
	if err != nil {
		return err
	}
	links, err := volumeLinks(root)
	if err != nil {
		return err
	}
	rows := []*volumeRow{}
	for _, v := range all {
		switch {
		case dangling != nil && *dangling == (links[v.Name] > 0):
		case !o.Filters.matches("driver", localDriver), !o.Filters.matches("name", v.Name), !o.Filters.labels(v.Labels):
		default:
			rows = append(rows, newVolumeRow(v))
		}
	}
	spec := format.Spec(o.Format, false)
	if o.Quiet && spec == "table" {
		spec = "{{.Name}}"
	}
	return format.Write(out, format.Table{Columns: volumeColumns, Titles: volumeTitles}, spec, rows)
}

// matches tells whether a value is, or a part of it matches, one of those that a key
// asks for; as every one does when it asks for none.
func (f *Filters) matches(key, value string) bool {
	want := f.of(key)
	return len(want) == 0 || slices.ContainsFunc(want, func(w string) bool {
		if w == value {
			return true
		}
		ok, err := regexp.MatchString(w, value)
		return ok && err == nil
	})
}

// volumeLinks counts the containers that have volumes, by the volumes' names.
func volumeLinks(root string) (map[string]int, error) {
	all, err := OpenContainers(root).List()
	if err != nil {
		return nil, err
	}
	links := map[string]int{}
	for _, c := range all {
		seen := map[string]bool{}
		for _, m := range c.Options.Mounts {
			if m.Type == mountVolume && !seen[m.Source] {
				seen[m.Source] = true
				links[m.Source]++
			}
		}
	}
	return links, nil
}

// VolumeObject is a volume as `docker volume inspect` shows it.
type VolumeObject struct {
	CreatedAt  string
	Driver     string
	Labels     map[string]string
	Mountpoint string
	Name       string
	Options    map[string]string
	Scope      string
}

func inspectVolume(root, name string) (*VolumeObject, error) {
	v, err := OpenVolumes(root).Find(name)
	if err != nil {
		return nil, err
	}
	return &VolumeObject{
		CreatedAt: v.Created.Local().Format(time.RFC3339), Driver: localDriver, Labels: v.Labels, Mountpoint: v.Mountpoint(),
		Name: v.Name, Options: v.Options, Scope: localDriver,
	}, nil
}

// CreateVolumeOptions says what volume is made.
type CreateVolumeOptions struct {
	Name    string // empty: one that nobody has
	Driver  string // local, or empty
	Labels  map[string]string
	Options map[string]string // see checkVolumeOptions
}

// CreateVolume makes a volume, unless there is one of that name, and prints its name.
func CreateVolume(root string, o CreateVolumeOptions, out io.Writer) error {
	if o.Driver != "" && o.Driver != localDriver {
		return noDriver(o.Driver)
	}
	v := Volume{Name: o.Name, Labels: o.Labels, Options: o.Options}
	if v.Name == "" {
		var err error
		if v.Name, err = newVolumeName(); err != nil {
			return err
		}
		v.Labels = withPair(maps.Clone(v.Labels), anonymousLabel+"=")
	}
	names, err := OpenContainers(root).makeAndLockNames()
	if err != nil {
		return err
	}
	defer names.Close()
	if _, err := OpenVolumes(root).make(v); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, v.Name)
	return err
}

// ParseVolumeOptions reads KEY=VALUE, each once.
func ParseVolumeOptions(list []string) (map[string]string, error) {
	var out map[string]string
	for _, s := range list {
		key, _, ok := strings.Cut(s, "=")
		if _, twice := out[key]; !ok || key == "" || twice {
			return nil, fmt.Errorf("invalid volume option %q: an option is KEY=VALUE, and said once", s)
		}
		out = withPair(out, s)
	}
	return out, checkVolumeOptions(out)
}

package imagecmd

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"github.com/cfs-project/cfs/imagecmd/internal/format"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// DiskUsageOptions says how disk usage is shown.
type DiskUsageOptions struct {
	Verbose bool   // every image, container and volume
	Format  string // as in [ImagesOptions]; with Verbose on {{.Images}}, {{.Containers}} and {{.Volumes}}
	Now     time.Time
}

// imageUsage is what disk usage counts of an image.
type imageUsage struct {
	containers int   // made of it
	shared     int64 // bytes of the files in layers that other images have too
}

// usage is everything that system df counts.
type usage struct {
	images     []store.Image
	of         []imageUsage // by the index of the image
	layers     int64        // bytes of the files in all layers, each counted once
	containers []containerUsage
	volumes    []volumeUsage
}

// volumeUsage is what disk usage counts of a volume.
type volumeUsage struct {
	*Volume
	links int   // containers that have it
	size  int64 // bytes of its files
}

// DiskUsage shows what images, containers and volumes take, in the sizes that the lists
// show, and how much of it a prune would give back.
func DiskUsage(ctx context.Context, st *store.Store, o DiskUsageOptions, out io.Writer) error {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	u, err := countUsage(ctx, st)
	if err != nil {
		return err
	}
	if o.Verbose {
		return u.writeEach(out, o)
	}
	table := format.Table{Columns: usageColumns, Titles: usageTitles}
	return format.Write(out, table, format.Spec(o.Format, false), u.rows())
}

func countUsage(ctx context.Context, st *store.Store) (*usage, error) {
	images, err := st.Images(ctx)
	if err != nil {
		return nil, err
	}
	u := &usage{}
	for _, img := range images {
		// A nameless parent is part of its children.
		if len(img.Names)+len(img.Digests) > 0 || len(img.Children) == 0 {
			u.images = append(u.images, img)
		}
	}
	all, err := OpenContainers(st.Root()).List()
	if err != nil {
		return nil, err
	}
	if err := u.countLayers(st, images, all); err != nil {
		return nil, err
	}
	made := map[digest.Digest]int{}
	for _, c := range all {
		size, err := containerSize(st.Root(), c)
		if err != nil {
			return nil, err
		}
		state, err := c.State()
		if err != nil {
			return nil, err
		}
		u.containers = append([]containerUsage{{c, state, c.Running(), size}}, u.containers...) // newest first
		made[c.ImageID]++
	}
	for i, img := range u.images {
		u.of[i].containers = made[img.ID]
	}
	return u, u.countVolumes(st.Root())
}

func (u *usage) countVolumes(root string) error {
	all, err := OpenVolumes(root).List()
	if err != nil {
		return err
	}
	links, err := volumeLinks(root)
	if err != nil {
		return err
	}
	for _, v := range all {
		size, err := v.size()
		if err != nil {
			return err
		}
		u.volumes = append(u.volumes, volumeUsage{v, links[v.Name], size})
	}
	return nil
}

// volumeRows are the volumes of the long form.
func (u *usage) volumeRows() []*volumeRow {
	rows := make([]*volumeRow, len(u.volumes))
	for i, v := range u.volumes {
		rows[i] = newVolumeRow(v.Volume).counted(v.links, v.size)
	}
	return rows
}

// countLayers counts layers as Docker does: by the chains that end with them, so
// that a layer on two bases is two. Containers keep those of images that are gone.
func (u *usage) countLayers(st *store.Store, all []store.Image, containers []*Container) error {
	sizes := map[digest.Digest]int64{}
	for _, img := range all {
		for n, id := range img.ChainIDs() {
			sizes[id] = img.LayerSizes[n]
		}
	}
	for _, c := range containers {
		for n, id := range identity.ChainIDs(slices.Clone(c.Layers)) {
			if _, counted := sizes[id]; counted {
				continue
			}
			size, err := st.ChainSize(c.Layers[n : n+1])
			if err != nil {
				return err
			}
			sizes[id] = size
		}
	}
	for _, n := range sizes {
		u.layers += n
	}
	holders := map[digest.Digest]int{}
	for _, img := range u.images {
		for _, id := range img.ChainIDs() {
			holders[id]++
		}
	}
	u.of = make([]imageUsage, len(u.images))
	for i, img := range u.images {
		for n, id := range img.ChainIDs() {
			if holders[id] > 1 {
				u.of[i].shared += img.LayerSizes[n]
			}
		}
	}
	return nil
}

// containerRows are the containers of the long form.
func (u *usage) containerRows(whole bool, now time.Time) []*containerRow {
	rows := make([]*containerRow, len(u.containers))
	for i, c := range u.containers {
		rows[i] = newContainerRow(c, whole, now)
	}
	return rows
}

// rows are the kinds of things that take space. cfs has no build cache: it is none,
// for those that look for its row.
func (u *usage) rows() []*usageRow {
	var active int
	free := u.layers
	for i, img := range u.images {
		if u.of[i].containers > 0 {
			active++
			free -= img.Size - u.of[i].shared
		}
	}
	images := newUsageRow("Images", len(u.images), active, u.layers, free)
	active, free = 0, 0
	var size int64
	for _, c := range u.containers {
		size += c.size
		if c.running {
			active++
		} else {
			free += c.size
		}
	}
	containers := newUsageRow("Containers", len(u.containers), active, size, free)
	active, free, size = 0, 0, 0
	for _, v := range u.volumes {
		size += v.size
		if v.links > 0 {
			active++
		} else {
			free += v.size
		}
	}
	volumes := newUsageRow("Local Volumes", len(u.volumes), active, size, free)
	return []*usageRow{images, containers, volumes, newUsageRow("Build Cache", 0, 0, 0, 0)}
}

// writeEach is the long form: a table of each kind.
func (u *usage) writeEach(out io.Writer, o DiskUsageOptions) error {
	var images []*imageRow
	table := o.Format == "" || o.Format == "table"
	for i := range u.images {
		img := &u.images[i].Summary
		repo, tag := none, none
		if len(img.Names) > 0 {
			repo, tag = splitTag(img.Names[0])
		}
		images = append(images, newImageRow(img, repo, tag, none, !table, o.Now, &u.of[i]))
	}
	if !table {
		all := []any{usageLists{Images: images, Containers: u.containerRows(true, o.Now), Volumes: u.volumeRows(), BuildCache: []any{}}}
		return format.Write(out, format.Table{}, o.Format, all)
	}
	fmt.Fprint(out, "Images space usage:\n\n")
	if err := format.Write(out, format.Table{Columns: usageImageColumns, Titles: imageTitles}, "table", images); err != nil {
		return err
	}
	fmt.Fprint(out, "\nContainers space usage:\n\n")
	if err := format.Write(out, format.Table{Columns: usageContainerColumns, Titles: containerTitles}, "table", u.containerRows(false, o.Now)); err != nil {
		return err
	}
	fmt.Fprint(out, "\nLocal Volumes space usage:\n\n")
	if err := format.Write(out, format.Table{Columns: usageVolumeColumns, Titles: volumeTitles}, "table", u.volumeRows()); err != nil {
		return err
	}
	fmt.Fprint(out, "\nBuild cache usage: 0B\n\n")
	return format.Write(out, format.Table{Columns: usageCacheColumns, Titles: usageCacheTitles}, "table", []any{})
}

// usageLists is what a template of the long form is executed on.
type usageLists struct {
	Images     []*imageRow
	Containers []*containerRow
	Volumes    []*volumeRow
	BuildCache []any
}

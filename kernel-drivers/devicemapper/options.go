package devicemapper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	units "github.com/docker/go-units"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/options"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

var _ cow.Configurer = (*Driver)(nil)

// Options are how the pool is made and used. Sizes are in bytes.
type Options struct {
	DataDevice, MetadataDevice string // disks; empty: files
	DataSize, MetadataSize     int64  // of the files
	BlockSize                  int64
	BaseSize                   int64 // of the filesystem that images are extracted to
	Filesystem                 string
	MkfsArgs, MountOptions     string
	MinFree                    int // percent
}

// Names of options, which are those that Docker's driver had.
const (
	optDataDevice     = "dm.datadev"
	optMetadataDevice = "dm.metadatadev"
	optDataSize       = "dm.loopdatasize"
	optMetadataSize   = "dm.loopmetadatasize"
	optBlockSize      = "dm.blocksize"
	optBaseSize       = "dm.basesize"
	optFilesystem     = "dm.fs"
	optMkfsArgs       = "dm.mkfsarg"
	optMountOptions   = "dm.mountopt"
	optMinFree        = "dm.min_free_space"
)

var definitions = []options.Definition{
	{Name: optDataDevice, Usage: "disk to keep data on; none: a file in the store, for trying it", Check: isPath},
	{Name: optMetadataDevice, Usage: "disk to keep the pool's metadata on (1 % of the data's is plenty); none: a file", Check: isPath},
	{Name: optDataSize, Default: "100G", Usage: "size of that file for data, which takes room as it is written; can be raised", Check: isSize},
	{Name: optMetadataSize, Default: "1G", Usage: "size of that file for metadata, 16G at most", Check: isSize},
	{Name: optBlockSize, Default: "64K", Usage: "what is copied at once when it changes: 64K to 1G, a multiple of 64K", Check: isBlockSize},
	{Name: optBaseSize, Default: "10G", Usage: "size of the filesystem of images; containers with --storage-opt size may get a larger one", Check: isSize},
	{Name: optFilesystem, Default: "ext4", Usage: "ext4, or xfs, which knows no --storage-opt size", Check: isFilesystem},
	{Name: optMkfsArgs, Usage: "more arguments for mkfs", Check: isAny},
	{Name: optMountOptions, Default: "discard", Usage: "mount options of containers; without discard what they delete is free in the pool only when they are removed", Check: isAny},
	{Name: optMinFree, Default: "10%", Usage: "what has to be free of the pool for another container", Check: isPercent},
}

// fixed are those that can't be changed when there is a pool.
var fixed = []string{optDataDevice, optMetadataDevice, optMetadataSize, optBlockSize, optBaseSize, optFilesystem}

func isAny(string) error { return nil }

func isPath(value string) error {
	if !filepath.IsAbs(value) {
		return errors.New("not an absolute path")
	}
	return nil
}

func isSize(value string) error {
	n, err := units.RAMInBytes(value)
	if err != nil || n < 16<<20 {
		return errors.New("not a size of at least 16M, such as 10G")
	}
	return nil
}

// isBlockSize checks for what a pool can have (thin-provisioning.rst, "Setting up a fresh
// pool device").
func isBlockSize(value string) error {
	n, err := units.RAMInBytes(value)
	if err != nil || n < 64<<10 || n > 1<<30 || n%(64<<10) != 0 {
		return errors.New("not a multiple of 64K up to 1G")
	}
	return nil
}

func isFilesystem(value string) error {
	if value != "ext4" && value != "xfs" {
		return errors.New("neither ext4 nor xfs")
	}
	return nil
}

func isPercent(value string) error {
	n, err := strconv.Atoi(strings.TrimSuffix(value, "%"))
	if err != nil || n < 0 || n > 99 {
		return errors.New("not a percentage from 0% to 99%")
	}
	return nil
}

// Options implements cow.Configurer.
func (d *Driver) Options() ([]cow.Option, error) { return options.List(d.Home, definitions) }

// SetOptions implements cow.Configurer. What the pool was made with can't be changed, and
// its file only grows.
func (d *Driver) SetOptions(ctx context.Context, values map[string]string) error {
	dir := filepath.Join(d.Home, poolName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unlock, err := (tree.Group{Dir: dir}).Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(filepath.Join(dir, claimedName)); err == nil {
		if err := d.changeable(values); err != nil {
			return err
		}
	}
	return options.Set(d.Home, definitions, values)
}

// changeable tells whether options of a pool that is there may be changed to values.
func (d *Driver) changeable(values map[string]string) error {
	now, err := options.Load(d.Home, definitions)
	if err != nil {
		return err
	}
	for name, value := range values {
		if value == "" {
			i := slices.IndexFunc(definitions, func(o options.Definition) bool { return o.Name == name })
			if i >= 0 {
				value = definitions[i].Default
			}
		}
		if slices.Contains(fixed, name) && value != now[name] {
			return &cow.Unusable{Driver: Name, Reason: fmt.Sprintf("%s can't be changed: the pool was made with %q", name, now[name]),
				Hint: "move its containers to another driver, remove " + d.Home + ", and set it anew"}
		}
		if name == optDataSize && size(value) < size(now[name]) && isSize(value) == nil {
			return &cow.Unusable{Driver: Name, Reason: fmt.Sprintf("%s can't be less than %s: a pool only grows", name, now[name])}
		}
	}
	return nil
}

// options are those of the store. They were checked when they were set.
func (d *Driver) options() (Options, error) {
	v, err := options.Load(d.Home, definitions)
	if err != nil {
		return Options{}, err
	}
	for _, o := range definitions {
		if v[o.Name] == "" {
			continue
		}
		if err := o.Check(v[o.Name]); err != nil {
			return Options{}, fmt.Errorf("option %s=%s: %w", o.Name, v[o.Name], err)
		}
	}
	least, err := strconv.Atoi(strings.TrimSuffix(v[optMinFree], "%"))
	return Options{
		DataDevice: v[optDataDevice], MetadataDevice: v[optMetadataDevice], DataSize: size(v[optDataSize]), MetadataSize: size(v[optMetadataSize]),
		BlockSize: size(v[optBlockSize]), BaseSize: size(v[optBaseSize]), Filesystem: v[optFilesystem],
		MkfsArgs: v[optMkfsArgs], MountOptions: v[optMountOptions], MinFree: least,
	}, err
}

// size is a checked size, in bytes, of whole blocks of 64 KiB.
func size(value string) int64 {
	n, _ := units.RAMInBytes(value)
	return n &^ (64<<10 - 1)
}

package zfs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/options"
)

var _ cow.Configurer = (*Driver)(nil)

// optParent is the option that Docker's driver has.
const optParent = "zfs.fsname"

var definitions = []options.Definition{
	{Name: optParent, Usage: "dataset to keep all others in, such as tank/cfs; none: the one that the store is on", Check: isDataset},
}

// datasetName is what a dataset may be called (zfs(8), "ZFS File System Hierarchy").
var datasetName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z][-A-Za-z0-9_.: ]*(/[A-Za-z0-9_][-A-Za-z0-9_.: ]*)*$`)
})

// maxParent is how long its name may be, so that those in it have no more than 255 characters.
const maxParent = 255 - 1 - len(namePrefix) - 32

func isDataset(value string) error {
	if !datasetName().MatchString(value) || len(value) > maxParent {
		return fmt.Errorf("not a name of a dataset, of at most %d characters, such as tank/cfs", maxParent)
	}
	return nil
}

// Options implements cow.Configurer.
func (d *Driver) Options() ([]cow.Option, error) { return options.List(d.Home, definitions) }

// SetOptions implements cow.Configurer. Clones are in the pool of what they are made of: so the parent
// can't be changed while there are bases.
func (d *Driver) SetOptions(_ context.Context, values map[string]string) error {
	now, err := options.Load(d.Home, definitions)
	if err != nil {
		return err
	}
	if value, ok := values[optParent]; ok && value != now[optParent] {
		has, err := d.hasBases()
		if err != nil {
			return err
		}
		if has {
			return &cow.Unusable{Driver: Name, Reason: optParent + " can't be changed while there are layers in it",
				Hint: "move its containers to another driver, and run: cfs driver prune --all"}
		}
	}
	return options.Set(d.Home, definitions, values)
}

func (d *Driver) hasBases() (bool, error) {
	all, err := filepath.Glob(filepath.Join(d.Home, "*", "*"))
	if err != nil {
		return false, err
	}
	for _, name := range all {
		if digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(name)).Validate() == nil {
			return true, nil
		}
	}
	return false, nil
}

// errNoParent is that no option names a parent and the store is not on ZFS.
var errNoParent = errors.New("the store is not on zfs, and " + optParent + " is not set")

// parent is the dataset in which all others are.
func (d *Driver) parent() (string, error) {
	set, err := options.Load(d.Home, definitions)
	if err != nil {
		return "", err
	}
	if name := set[optParent]; name != "" {
		if err := isDataset(name); err != nil {
			return "", fmt.Errorf("option %s=%s: %w", optParent, name, err)
		}
		return name, nil
	}
	return datasetAt(d.Home)
}

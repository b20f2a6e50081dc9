package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/docker/go-units"

	"github.com/cfs-project/cfs/runtime/userns"
)

// RemoveVolume removes a volume that no container has. It fails with ErrNoVolume, which
// forced is no failure, or ErrVolumeInUse.
func RemoveVolume(ctx context.Context, root, name string, force bool) error {
	OpenContainers(root).sweepLeft(ctx)
	err := removeVolume(root, name)
	if force && errors.Is(err, ErrNoVolume) {
		return nil
	}
	return err
}

// removeVolume removes a volume, an ordinary user's in a stage: what is in it may belong
// to sub-uids.
func removeVolume(root, name string) error {
	vs := OpenVolumes(root)
	mapping, _ := userns.Detect()
	if mapping.Privileged() {
		return vs.remove(name)
	}
	if _, err := vs.Find(name); err != nil {
		return err
	}
	links, err := volumeLinks(root)
	if err != nil {
		return err
	}
	if links[name] > 0 {
		return vs.remove(name) // which says whose it is
	}
	payload, err := json.Marshal(removeRequest{Root: root, Volume: name})
	if err != nil {
		return err
	}
	_, err = runStage(mapping, removeStage, payload)
	return err
}

// PruneVolumesOptions says which unused volumes are removed.
type PruneVolumesOptions struct {
	All     bool    // those with a name of their own, too
	Filters Filters // all, label, label!
}

// Warning is what a person is asked before it, in Docker's words.
func (o *PruneVolumesOptions) Warning() string {
	which := "anonymous local volumes"
	if o.All {
		which = "all local volumes"
	}
	return fmt.Sprintf("WARNING! This will remove %s not used by at least one container.\nAre you sure you want to continue? [y/N] ", which)
}

// Check tells whether the filters can be understood, before anybody is asked.
func (o *PruneVolumesOptions) Check() error {
	if err := o.Filters.check("all", "label", "label!"); err != nil {
		return err
	}
	all, err := o.Filters.boolean("all")
	if err != nil || all == nil {
		return err
	}
	if o.All && !*all {
		return errors.New("conflicting options: cannot specify both --all and --filter all=false")
	}
	o.All = *all
	return nil
}

// PruneVolumes removes volumes that no container has, and prints what went and how much
// it was.
func PruneVolumes(ctx context.Context, root string, o PruneVolumesOptions, out io.Writer) error {
	if err := o.Check(); err != nil {
		return err
	}
	reclaimed, err := pruneVolumes(ctx, root, o, out)
	fmt.Fprintf(out, "Total reclaimed space: %s\n", units.HumanSize(float64(reclaimed)))
	return err
}

func pruneVolumes(ctx context.Context, root string, o PruneVolumesOptions, out io.Writer) (reclaimed int64, err error) {
	OpenContainers(root).sweepLeft(ctx)
	all, err := OpenVolumes(root).List()
	if err != nil {
		return 0, err
	}
	links, err := volumeLinks(root)
	if err != nil {
		return 0, err
	}
	var gone []string
	var errs []error
	for _, v := range all {
		if links[v.Name] > 0 || !o.All && !v.Anonymous() || !o.Filters.labels(v.Labels) {
			continue
		}
		n, err := v.size()
		if err == nil {
			err = removeVolume(root, v.Name)
		}
		switch {
		case err == nil:
			gone = append(gone, v.Name)
			reclaimed += n
		case errors.Is(err, ErrVolumeInUse), errors.Is(err, ErrNoVolume):
			// It was taken, or removed, since it was looked at.
		default:
			errs = append(errs, err)
		}
	}
	printPruned(out, "Deleted Volumes:", gone)
	return reclaimed, errors.Join(errs...)
}

// size is the bytes of the files in the volume; of one that stands for a directory of
// the host, which is nobody's to remove, none.
func (v *Volume) size() (int64, error) {
	n, err := ownedSize(v.Mountpoint())
	if err != nil {
		err = fmt.Errorf("size of volume %s: %w", v.Name, err)
	}
	return n, err
}

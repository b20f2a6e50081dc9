package imagecmd

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// PruneDrivers removes what drivers have extracted of images that are gone, or, with
// all, of those that no container stands on, and prints "Deleted: DRIVER ID" for each
// tree. What is mounted stays; what is missing is extracted again when needed.
func PruneDrivers(ctx context.Context, st *store.Store, all bool, out io.Writer) error {
	keep, err := chainsInUse(ctx, st)
	if all {
		keep, err = chainsOfContainers(st.Root())
	}
	if err != nil {
		return err
	}
	before, err := trees(st.Root())
	if err != nil {
		return err
	}
	failed := keepTrees(ctx, st.Root(), keep)
	after, err := trees(st.Root())
	if err != nil {
		return err
	}
	left := map[string]bool{}
	for _, t := range after {
		left[t] = true
	}
	for _, t := range before {
		if !left[t] {
			driver := filepath.Base(filepath.Dir(filepath.Dir(t)))
			fmt.Fprintf(out, "Deleted: %s %s\n", driver, digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(t)))
		}
	}
	return failed
}

// trees are what drivers have below the store's root: drivers/NAME/GROUP/CHAINID.
func trees(root string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(root, "drivers", "*", "*", "*"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, t := range all {
		if digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(t)).Validate() == nil {
			out = append(out, t)
		}
	}
	return out, nil
}

func chainsOfContainers(root string) ([]cow.Chain, error) {
	containers, err := OpenContainers(root).List()
	if err != nil {
		return nil, err
	}
	var keep []cow.Chain
	for _, c := range containers {
		var chain cow.Chain
		for _, id := range c.Layers {
			chain.Layers = append(chain.Layers, cow.Layer{DiffID: id})
		}
		keep = append(keep, chain)
	}
	return keep, nil
}

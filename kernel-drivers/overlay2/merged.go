package overlay2

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/whiteout"
)

// mostLowers is how many lowers a mount is to have at most. The kernel takes 500
// (OVL_MAX_STACK in fs/overlayfs/params.h), if they can be named one by one, and as many as
// fit into one page if not.
func mostLowers() int {
	if sys.KernelIs(6, 7) {
		return 400
	}
	return 150
}

// mergeStep is in what steps the number of merged layers grows, so that chains of which one goes on
// where the other ends have the same merged tree mostly.
const mergeStep = 50

// mergedLayers is how many of the first of n layers have to be merged so that no more than
// most trees are left; 0 if none have to.
func mergedLayers(n, most int) int {
	if n <= most {
		return 0
	}
	return (n - most + mergeStep) / mergeStep * mergeStep
}

// mergedID names the merged tree of layers: it is not that of the last of them.
func mergedID(layers []cow.Layer) digest.Digest {
	return digest.FromString("merged " + tree.ChainID(layers).String())
}

// extractMerged writes the whole tree of layers.
func (d *Driver) extractMerged(ctx context.Context, s *stack, layers []cow.Layer, temp string) error {
	got, err := layerpack.ExtractAll(ctx, layers, temp, layerpack.ExtractOptions{Dialect: s.dialect, Rootless: s.dialect == whiteout.User})
	if err != nil {
		return err
	}
	tree.LogLeftOut(d.log, got, "chain", tree.ChainID(layers))
	return nil
}

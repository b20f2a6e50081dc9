package overlay2

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

// Prune implements cow.Pruner: it removes the trees that no chain of keep stands on.
// Only trees of this process's group are looked at.
func (d *Driver) Prune(ctx context.Context, keep []cow.Chain) error {
	group, err := tree.OwnGroup(d.home)
	if err != nil {
		return err
	}
	needed := map[digest.Digest]bool{}
	for _, c := range keep {
		merged := mergedLayers(len(c.Layers), mostLowers())
		if merged > 0 {
			needed[mergedID(c.Layers[:merged])] = true
		}
		for i := merged; i < len(c.Layers); i++ {
			needed[tree.ChainID(c.Layers[:i+1])] = true
		}
	}
	return group.Prune(ctx, needed)
}

package overlay2

import (
	"context"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/objects"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

// Prune implements cow.Pruner: it removes the trees that no chain of keep stands on, and the contents
// that no tree refers to.
// Only trees of this process's group are looked at.
func (d *Driver) Prune(ctx context.Context, keep []cow.Chain) error {
	group, err := tree.OwnGroup(d.home)
	if err != nil {
		return err
	}
	data, err := d.dataOnly(group, dialect())
	if err != nil {
		return err
	}
	needed := map[digest.Digest]bool{}
	for _, c := range keep {
		merged := data.merged(len(c.Layers))
		if merged > 0 {
			needed[data.id(mergedID(c.Layers[:merged]))] = true
		}
		for i := merged; i < len(c.Layers); i++ {
			needed[data.id(tree.ChainID(c.Layers[:i+1]))] = true
		}
	}
	if err := group.Prune(ctx, needed); err != nil {
		return err
	}
	return objects.Sweep(ctx, filepath.Join(group.Dir, ownData), group.Dir, dialect().Namespace())
}

package tree

import (
	"context"
	"log/slog"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/whiteout"
)

// BaseID names the whole tree of a chain of layers, bottom first, which may be none.
func BaseID(layers []cow.Layer) digest.Digest {
	if len(layers) == 0 {
		return digest.FromString("")
	}
	return ChainID(layers)
}

// BasesOf are the names of the trees that drivers keep of which each stands on the one
// below it: those of chains, and of all that they begin with.
func BasesOf(chains []cow.Chain) map[digest.Digest]bool {
	needed := map[digest.Digest]bool{}
	for _, c := range chains {
		for i := range len(c.Layers) + 1 {
			needed[BaseID(c.Layers[:i])] = true
		}
	}
	return needed
}

// ExtractBase writes the whole tree of layers into the directory dir, which is empty. Log
// is told what had to be left out.
func ExtractBase(ctx context.Context, layers []cow.Layer, dir string, log *slog.Logger) error {
	got, err := layerpack.ExtractAll(ctx, layers, dir, options())
	if err != nil {
		return err
	}
	LogLeftOut(log, got, "chain", ChainID(layers))
	return nil
}

// ApplyLast applies the last of layers to dir, which is the tree of the others; of no
// layers it makes the empty tree.
func ApplyLast(ctx context.Context, layers []cow.Layer, dir string, log *slog.Logger) error {
	n := len(layers) - 1
	if n < 0 {
		return ExtractBase(ctx, nil, dir, log)
	}
	o := options()
	o.Below = layers[:n]
	got, err := layerpack.Apply(ctx, layers[n], dir, o)
	if err != nil {
		return err
	}
	LogLeftOut(log, got, "layer", layers[n].DiffID)
	return nil
}

func options() layerpack.ExtractOptions {
	return layerpack.ExtractOptions{Dialect: whiteout.Plain, Rootless: !sys.Privileged()}
}

// Logger is log, or one that is told in vain, if it is nil.
func Logger(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

// LogLeftOut tells log what of a layer or a chain could not be extracted as it is.
func LogLeftOut(log *slog.Logger, got layerpack.Extracted, what string, id digest.Digest) {
	if got.SkippedOwners+got.SkippedDevices+got.SkippedXattrs > 0 {
		log.Info("not all could be extracted as it is", what, id, "owners", got.SkippedOwners,
			"devices", got.SkippedDevices, "xattrs", got.SkippedXattrs)
	}
}

package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// pruneStage is argv[0] of the process that prunes drivers for an ordinary
// user, whose trees may belong to sub-uids.
const pruneStage = "cfs-prune"

type pruneRequest struct {
	Root string
	Keep []cow.Chain
}

// pruneDrivers removes what drivers have materialised of images that are gone.
func pruneDrivers(ctx context.Context, st *store.Store) error {
	made, err := os.ReadDir(filepath.Join(st.Root(), "drivers"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(made) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	keep, err := chainsInUse(ctx, st)
	if err != nil {
		return err
	}
	return keepTrees(ctx, st.Root(), keep)
}

// keepTrees has the drivers of the store at root remove all but what keep needs.
func keepTrees(ctx context.Context, root string, keep []cow.Chain) error {
	mapping, problems := userns.Detect()
	if mapping.Privileged() {
		return prune(ctx, pruneRequest{Root: root, Keep: keep})
	}
	for _, p := range problems {
		if p.Fatal { // then no driver can have made anything either
			return nil
		}
	}
	payload, err := json.Marshal(pruneRequest{Root: root, Keep: keep})
	if err != nil {
		return err
	}
	_, err = runStage(mapping, pruneStage, payload)
	return err
}

// chainsInUse are the chains of the store's images and containers.
func chainsInUse(ctx context.Context, st *store.Store) ([]cow.Chain, error) {
	images, err := st.Images(ctx)
	if err != nil {
		return nil, err
	}
	containers, err := OpenContainers(st.Root()).List()
	if err != nil {
		return nil, err
	}
	var keep []cow.Chain
	add := func(diffIDs []digest.Digest) {
		var c cow.Chain
		for _, id := range diffIDs {
			c.Layers = append(c.Layers, cow.Layer{DiffID: id})
		}
		keep = append(keep, c)
	}
	for _, i := range images {
		add(i.Config.RootFS.DiffIDs)
	}
	for _, c := range containers {
		add(c.Layers)
	}
	return keep, nil
}

func prune(ctx context.Context, req pruneRequest) error {
	var errs []error
	for _, d := range Drivers(req.Root, slog.New(slog.DiscardHandler)) {
		if p, ok := d.(cow.Pruner); ok {
			errs = append(errs, p.Prune(ctx, req.Keep))
		}
	}
	return errors.Join(errs...)
}

func pruneMain(l *stage.Link, payload []byte) int {
	var req pruneRequest
	err := json.Unmarshal(payload, &req)
	if err == nil {
		err = prune(l.Context(), req)
	}
	return stageStatus(err)
}

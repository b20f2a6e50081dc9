package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
)

// PackChain packs layers, bottom first, into dir and indexes them.
func PackChain(ctx context.Context, dir string, layers ...io.Reader) (cow.Chain, error) {
	var c cow.Chain
	for i, r := range layers {
		d := filepath.Join(dir, fmt.Sprintf("layer%d", i))
		if err := os.Mkdir(d, 0o755); err != nil {
			return c, err
		}
		p, err := layerpack.Pack(ctx, r, d, layerpack.PackOptions{})
		if err != nil {
			return c, err
		}
		c.Layers = append(c.Layers, cow.Layer{DiffID: p.DiffID, Dir: d})
		if i == 0 {
			c.ID = p.DiffID
		} else { // OCI image spec, "Layer ChainID"
			c.ID = digest.FromString(c.ID.String() + " " + p.DiffID.String())
		}
	}
	c.Index = filepath.Join(dir, "index.erofs")
	return c, layerpack.BuildIndex(ctx, c.Index, c.Layers)
}

// Extract unpacks a tar with tar(1), as root, everything kept.
func Extract(ctx context.Context, file, dir string) error {
	cmd := exec.CommandContext(ctx, "tar", "--extract", "--file", file, "--directory", dir, "--numeric-owner", "--same-owner",
		"--same-permissions", "--xattrs", "--xattrs-include=*")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w: %s", err, out)
	}
	return nil
}

package imagecmd

import (
	"context"
	"io"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/buildcontext"
	"github.com/cfs-project/cfs/imagecmd/dockerfile"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/layerpack"
)

// workdir does a WORKDIR, which makes the directory where it is missing. It belongs to
// the image's user, as BuildKit has it.
func (s *stageBuild) workdir(ctx context.Context, c *instructions.WorkdirCommand) error {
	s.config.cloneForChange()
	if err := s.change.set(c, nil); err != nil {
		return err
	}
	dir := s.config.Config.WorkingDir
	step := buildStep{createdBy: s.nop(dockerfile.Describe(c, &s.config.Config)), running: true}
	step.layer = func(ctx context.Context, in *store.Ingest) (*store.Layer, error) {
		layer, err := s.layerOn(ctx, in, func(lower cow.Base, w io.Writer) error {
			entries := buildcontext.MakeDir(ctx, lower, dir, s.config.Config.User, s.b.now)
			_, err := layerpack.WriteLayer(ctx, w, entries, layerpack.WriteOptions{Epoch: s.b.epoch})
			return err
		})
		return layer, reason(err)
	}
	return s.do(ctx, step)
}

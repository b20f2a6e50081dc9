package main

import (
	"context"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/debianroot"
)

func (o options) changes(ctx context.Context, r *bench.Report, g *bench.Ground, img debianroot.DevImage) error {
	return nil
}

// Command bench-layers measures layers on their way in and out: an image of 8
// layers and 50,000 files from an OCI layout to ready to run, against podman,
// umoci and what decompressing and hashing alone takes; and what a container
// changed as a list and as a layer. It needs root, podman, umoci and what the
// image is built with, and exits with 1 if a target is missed.
package main

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/debianroot"
)

type options struct {
	bench.Flags
	cfs   string
	peers bool
}

func main() {
	var o options
	flag.StringVar(&o.cfs, "cfs", "bin/cfs", "the program to measure")
	flag.BoolVar(&o.peers, "peers", true, "measure podman and umoci, too, which take most of the time")
	o.Register()
	bench.Main("bench-layers", func(ctx context.Context) error { return o.run(ctx) })
}

func (o options) run(ctx context.Context) (err error) {
	if o.cfs, err = filepath.Abs(o.cfs); err != nil {
		return err
	}
	img, err := debianroot.Dev(ctx)
	if err != nil {
		return err
	}
	return o.OnGround(ctx, "bench-layers", func(g *bench.Ground, r *bench.Report) error { return o.measure(ctx, g, r, img) })
}

func (o options) measure(ctx context.Context, g *bench.Ground, r *bench.Report, img debianroot.DevImage) error {
	t := img.Total()
	r.Conditions.Tree = fmt.Sprintf("%d layers, %d entries, %d of them not directories, tars of %d MB", len(img.Layers), t.Entries, t.Files, t.Bytes/1e6)
	r.Conditions.Cache = "the layout is in the page cache; every store is fresh"
	if err := o.loads(ctx, r, g, img); err != nil {
		return err
	}
	if err := o.changes(ctx, r, g, img); err != nil {
		return err
	}
	return o.Publish(r, floor)
}

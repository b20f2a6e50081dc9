// Command bench-images measures the image commands, whole programs from start
// to end, against podman and skopeo: an image of 8 layers and 50,000 files from
// and to an archive and a registry and removed, lists of a store of many images,
// and the commit of new data. It needs root, skopeo, docker-registry, a busybox
// and what the image is built with, and exits with 1 if a target is missed.
// That podman is not installed, or cfs lacks a command, is noted.
package main

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/debianroot"
)

// The contestants.
const (
	cfs    = "cfs"
	podman = "podman"
	skopeo = "skopeo"
	pgzip  = "pgzip"
)

type options struct {
	bench.Flags
	cfs, busybox string
	only         string
	slow         int
}

func main() {
	var o options
	flag.StringVar(&o.cfs, "cfs", "bin/cfs", "the program to measure")
	flag.StringVar(&o.busybox, "busybox", "/bin/busybox", "a static busybox")
	flag.StringVar(&o.only, "only", "", "measure only one part: archives, registry, lists or commit")
	flag.IntVar(&o.slow, "slow-runs", 3, "measured rounds, if fewer, of what takes podman many seconds")
	o.Register()
	bench.Main("bench-images", func(ctx context.Context) error { return o.run(ctx) })
}

func (o options) run(ctx context.Context) (err error) {
	if o.cfs, err = filepath.Abs(o.cfs); err != nil {
		return err
	}
	parts, err := o.chosen()
	if err != nil {
		return err
	}
	o.slow = min(o.slow, o.Runs)
	img, err := debianroot.Dev(ctx)
	if err != nil {
		return err
	}
	return o.OnGround(ctx, "bench-images", func(g *bench.Ground, r *bench.Report) error { return o.measure(ctx, g, r, img, parts) })
}

func (o options) measure(ctx context.Context, g *bench.Ground, r *bench.Report, img debianroot.DevImage, parts []part) error {
	t := img.Total()
	r.Conditions.Tree = fmt.Sprintf("%d layers, %d entries, tars of %d MB; lists: %d small images", len(img.Layers), t.Entries, t.Bytes/1e6, manyImages)
	r.Conditions.Cache = "warm"
	r.Notes = append(r.Notes, fmt.Sprintf("archives, pulls, rmi and commit: %d rounds", o.slow))
	for _, p := range parts {
		if err := p.measure(o, ctx, r, g, img); err != nil {
			return err
		}
	}
	return o.Publish(r, podman)
}

// A part is measured with stores of its own.
type part struct {
	name    string
	measure func(options, context.Context, *bench.Report, *bench.Ground, debianroot.DevImage) error
}

var parts = []part{
	{"archives", options.archives}, {"registry", options.registry}, {"lists", options.lists}, {"commit", options.commit},
}

// chosen are the parts that the flags ask for.
func (o options) chosen() ([]part, error) {
	if o.only == "" {
		return parts, nil
	}
	for _, p := range parts {
		if p.name == o.only {
			return []part{p}, nil
		}
	}
	return nil, fmt.Errorf("-only %s: there is no such part", o.only)
}

// can tells whether cfs has the commands, and notes which it lacks.
func (o options) can(ctx context.Context, r *bench.Report, commands ...string) bool {
	all := true
	for _, c := range commands {
		if !bench.Can(ctx, o.cfs, c) {
			r.Notes = append(r.Notes, "cfs has no "+c)
			all = false
		}
	}
	return all
}

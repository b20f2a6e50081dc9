// Command bench-run compares what cfs does with containers, whole programs from start to
// end, with podman, and `cfs run` of a small image with OCI runtimes that run the same
// bundle. It needs root, crun and a busybox, and exits with 1 if a target is missed. That
// podman is not installed is noted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/imagegen"
)

// The contestants.
const (
	cfs    = "cfs"
	podman = "podman"
	crun   = "crun"
	runc   = "runc"
)

type options struct {
	bench.Flags
	cfs, busybox string
}

func main() {
	var o options
	flag.StringVar(&o.cfs, "cfs", "bin/cfs", "the program to measure")
	flag.StringVar(&o.busybox, "busybox", "/bin/busybox", "a static busybox")
	o.Register()
	bench.Main("bench-run", func(ctx context.Context) error { return o.run(ctx) })
}

func (o options) run(ctx context.Context) (err error) {
	if o.cfs, err = filepath.Abs(o.cfs); err != nil {
		return err
	}
	if err := bench.HideSecondHierarchy(); err != nil {
		return err
	}
	g, err := bench.NewGround(ctx, o.Ground)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	layer, err := bench.BusyboxLayer(o.busybox)
	if err != nil {
		return err
	}
	engines := o.engines(g.Dir)
	defer func() {
		for _, e := range engines {
			err = errors.Join(err, e.reset())
		}
	}()
	if err := loadImages(ctx, g, layer, engines); err != nil {
		return err
	}
	r := &bench.Report{Name: "bench-run", Conditions: bench.Here()}
	r.Conditions.Filesystem, r.Conditions.Rounds = g.Describe(), o.Runs
	r.Conditions.Tree = fmt.Sprintf("busybox, %d KiB; the command is true", len(layer.Tar())>>10)
	r.Conditions.Cache = "warm"
	r.Notes = append(r.Notes, "the OCI runtimes run the configuration that cfs run makes, on an extracted tree; cfs run and podman mount a union as well")
	for _, part := range []func(context.Context, *bench.Report, *bench.Ground, imagegen.Layer, []engine) error{o.runs, o.execs, o.lists, o.memory} {
		if err := part(ctx, r, g, layer, engines); err != nil {
			return err
		}
	}
	return o.Publish(r, podman)
}

// installed tells whether there is a program of that name.
func installed(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

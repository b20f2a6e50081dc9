package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/debianroot"
)

// The contestants of loading. The floor decompresses and hashes all layers, two
// at a time, and keeps nothing.
const (
	cfs    = "cfs load"
	podman = "podman pull"
	umoci  = "umoci unpack"
	floor  = "decompress+hash"
)

// The workloads of loading.
const (
	fromGzip = "gzip layout to ready"
	fromZstd = "zstd layout to ready"
)

// maxLoadKiB is what loading may hold in memory.
const maxLoadKiB = 64 << 10

// floorWorkers is how many layers the floor does at once: one a core of the
// machines that the targets are set for.
const floorWorkers = 2

// loads compares bringing the image in.
func (o options) loads(ctx context.Context, r *bench.Report, g *bench.Ground, img debianroot.DevImage) error {
	for _, l := range []struct {
		workload, layout string
		peers            bool // they read it
	}{{fromGzip, img.Gzip, true}, {fromZstd, img.Zstd, false}} {
		layout := filepath.Join(g.Dir, filepath.Base(l.layout))
		if err := os.CopyFS(layout, os.DirFS(l.layout)); err != nil {
			return err
		}
		layers, err := bench.LayoutLayers(layout, debianroot.DevTag)
		if err != nil {
			return err
		}
		jobs := []bench.Job{
			{Contestant: floor, Run: func(context.Context) (time.Duration, error) {
				return bench.DecodeAll(layers, floorWorkers, bench.Decoding{})
			}},
			{Contestant: cfs, Run: func(ctx context.Context) (time.Duration, error) { return o.load(ctx, g, layout) }},
		}
		if l.peers && o.peers {
			jobs = append(jobs, peers(g, layout)...)
		}
		samples, err := bench.Compare(ctx, o.Runs, false, jobs...)
		if err != nil {
			return err
		}
		r.Add(l.workload, 0, samples, floor, cfs, podman, umoci)
		if err := o.memory(ctx, r, g, l.workload, layout); err != nil {
			return err
		}
	}
	r.Judge(bench.Target{Workload: fromGzip, Contestant: cfs, Against: podman, Max: 0.35})
	r.Judge(bench.Target{Workload: fromGzip, Contestant: cfs, Against: umoci, Max: 0.35})
	r.Judge(bench.Target{Workload: fromGzip, Contestant: cfs, Against: floor, Max: 1.25})
	r.Judge(bench.Target{Workload: fromZstd, Contestant: cfs, Against: floor, Max: 1.5})
	return nil
}

// load brings the layout into a fresh store.
func (o options) load(ctx context.Context, g *bench.Ground, layout string) (time.Duration, error) {
	return g.Fresh("store", func(store string) (time.Duration, error) {
		return bench.Timed(ctx, o.cfs, "--root", store, "load", "--input", layout)
	})
}

// memory notes the most that loading holds.
func (o options) memory(ctx context.Context, r *bench.Report, g *bench.Ground, workload, layout string) error {
	_, err := g.Fresh("store", func(store string) (time.Duration, error) {
		kib, err := bench.Peak(ctx, o.cfs, "--root", store, "load", "--input", layout)
		limit := int64(maxLoadKiB)
		r.Counts = append(r.Counts, bench.Count{What: fmt.Sprintf("%s: KiB resident at most of %s", workload, cfs), Value: kib, Max: &limit})
		return 0, err
	})
	return err
}

// peers are the others that bring the layout to where it could be run, those of
// them that are installed.
func peers(g *bench.Ground, layout string) []bench.Job {
	image := layout + ":" + debianroot.DevTag
	all := []struct {
		name, program string
		run           func(context.Context) (time.Duration, error)
	}{
		{podman, "podman", func(ctx context.Context) (time.Duration, error) {
			p := bench.Podman{Dir: filepath.Join(g.Dir, "podman")}
			d, err := p.Timed(ctx, "pull", "--quiet", "oci:"+image)
			return d, errors.Join(err, p.Remove())
		}},
		{umoci, "umoci", func(ctx context.Context) (time.Duration, error) {
			return g.Fresh("bundle", func(bundle string) (time.Duration, error) {
				return bench.Timed(ctx, "umoci", "unpack", "--image", image, bundle)
			})
		}},
	}
	var jobs []bench.Job
	for _, p := range all {
		if _, err := exec.LookPath(p.program); err == nil {
			jobs = append(jobs, bench.Job{Contestant: p.name, Run: p.run})
		}
	}
	return jobs
}

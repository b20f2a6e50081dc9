package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/debianroot"
)

// devName is the name of the large image, the same to all tools.
const devName = "localhost/dev:latest"

// archives brings the image in from a docker-archive, saves it as one, and
// removes it.
func (o options) archives(ctx context.Context, r *bench.Report, g *bench.Ground, img debianroot.DevImage) (err error) {
	archive := filepath.Join(g.Dir, "dev.tar")
	if _, err := bench.Timed(ctx, "skopeo", "copy", "--quiet", "oci:"+img.Gzip+":"+debianroot.DevTag, "docker-archive:"+archive+":"+devName); err != nil {
		return err
	}
	defer os.Remove(archive)
	saves, removes := o.can(ctx, r, "save"), o.can(ctx, r, "rmi")
	saved := filepath.Join(g.Dir, "saved.tar")
	samples := map[string]map[string]bench.Samples{"save": {}, "rmi": {}}
	note := func(workload, tool string, d time.Duration) {
		samples[workload][tool] = append(samples[workload][tool], d)
	}
	tools := o.tools(g.Dir)
	defer func() { err = errors.Join(err, resetAll(tools)) }()
	var jobs []bench.Job
	for _, t := range tools {
		jobs = append(jobs, bench.Job{Contestant: t.name, Run: func(ctx context.Context) (time.Duration, error) {
			loaded, err := t.run(ctx, "load", "--input", archive)
			if err != nil {
				return 0, err
			}
			if saves {
				d, err := t.run(ctx, "save", "--output", saved, devName)
				if err := errors.Join(err, os.Remove(saved)); err != nil {
					return 0, err
				}
				note("save", t.name, d)
			}
			if removes {
				d, err := t.run(ctx, "rmi", devName)
				if err != nil {
					return 0, err
				}
				note("rmi", t.name, d)
			}
			return loaded, t.reset()
		}})
	}
	if samples["load"], err = bench.Compare(ctx, o.slow, false, jobs...); err != nil {
		return err
	}
	for _, w := range []struct {
		workload string
		max      float64
	}{{"load", 0.35}, {"save", 0.3}, {"rmi", 0.05}} {
		r.Add(w.workload, 0, samples[w.workload], cfs, podman)
		r.Judge(bench.Target{Workload: w.workload, Contestant: cfs, Against: podman, Max: w.max})
	}
	return nil
}

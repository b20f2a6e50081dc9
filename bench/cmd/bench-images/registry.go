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

// registry pulls the image to where it can be run, and pulls and pushes what
// is on the other side already.
func (o options) registry(ctx context.Context, r *bench.Report, g *bench.Ground, img debianroot.DevImage) (err error) {
	if !o.can(ctx, r, "pull", "push") {
		return nil
	}
	dir, err := g.Sub("registry")
	if err != nil {
		return err
	}
	reg, err := bench.StartRegistry(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reg.Close(), os.RemoveAll(dir)) }()
	name := reg.Addr + "/dev:latest"
	layout := filepath.Join(g.Dir, "layout")
	defer func() { err = errors.Join(err, os.RemoveAll(layout)) }()
	push := func(ctx context.Context, from string) (time.Duration, error) {
		return bench.Timed(ctx, "skopeo", "copy", "--quiet", "--dest-tls-verify=false", from, "docker://"+name)
	}
	if _, err := push(ctx, "oci:"+img.Gzip+":"+debianroot.DevTag); err != nil {
		return err
	}
	tools := o.tools(g.Dir)
	defer func() { err = errors.Join(err, resetAll(tools)) }()
	var jobs []bench.Job
	for _, t := range tools {
		jobs = append(jobs, bench.Job{Contestant: t.name, Run: func(ctx context.Context) (time.Duration, error) {
			d, err := t.run(ctx, append([]string{"pull", "--quiet", name}, t.plain...)...)
			return d, errors.Join(err, t.reset())
		}})
	}
	samples, err := bench.Compare(ctx, o.slow, false, jobs...)
	if err != nil {
		return err
	}
	r.Add("pull", 0, samples, cfs, podman)
	r.Judge(bench.Target{Workload: "pull", Contestant: cfs, Against: podman, Max: 0.4})

	mine := tools[0].run
	for _, w := range []struct {
		workload string
		cfs      []string
		skopeo   func(context.Context) (time.Duration, error)
	}{
		{"pull again", []string{"pull", "--quiet", name}, func(ctx context.Context) (time.Duration, error) {
			return bench.Timed(ctx, "skopeo", "copy", "--quiet", "--src-tls-verify=false", "docker://"+name, "oci:"+layout+":"+debianroot.DevTag)
		}},
		{"push again", []string{"push", "--quiet", name}, func(ctx context.Context) (time.Duration, error) {
			return push(ctx, "oci:"+layout+":"+debianroot.DevTag)
		}},
	} {
		samples, err := bench.Compare(ctx, o.Runs, true, bench.Job{Contestant: cfs, Run: func(ctx context.Context) (time.Duration, error) {
			return mine(ctx, w.cfs...)
		}}, bench.Job{Contestant: skopeo, Run: w.skopeo})
		if err != nil {
			return err
		}
		r.Add(w.workload, 0, samples, cfs, skopeo)
		r.Judge(bench.Target{Workload: w.workload, Contestant: cfs, Against: skopeo, Max: 0.5})
	}
	return nil
}

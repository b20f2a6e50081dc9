package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/imagegen"
)

// runs runs a command in a new container, from start to end.
func (o options) runs(ctx context.Context, r *bench.Report, g *bench.Ground, layer imagegen.Layer, engines []engine) error {
	const one, deep, deepCFS = "run true", "run true, 60 layers", "cfs, 60 layers"
	var jobs []bench.Job
	for _, e := range engines {
		jobs = append(jobs, e.job(append(e.container("run", "--rm"), oneLayer)...))
		if e.name == cfs {
			j := e.job(append(e.container("run", "--rm"), deepImage)...)
			j.Contestant = deepCFS
			jobs = append(jobs, j)
		}
	}
	runtimes, err := runtimeJobs(ctx, g, layer)
	if err != nil {
		return err
	}
	samples, err := bench.Compare(ctx, o.Runs, true, append(jobs, runtimes...)...)
	if err != nil {
		return err
	}
	r.Add(one, 0, samples, cfs, podman, crun, runc)
	r.Add(deep, 0, map[string]bench.Samples{cfs: samples[deepCFS]}, cfs)
	r.Judge(bench.Target{Workload: one, Contestant: cfs, Against: podman, Max: 0.2})
	r.Judge(bench.Target{Workload: one, Contestant: cfs, Against: crun, Max: 4})
	r.Judge(bench.Target{Workload: deep, Contestant: cfs, Against: cfs, Base: one, Max: 1.1})
	return nil
}

// runtimeJobs are OCI runtimes that run the bundle.
func runtimeJobs(ctx context.Context, g *bench.Ground, layer imagegen.Layer) (jobs []bench.Job, err error) {
	bundle, err := writeBundle(ctx, g, layer)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, rt := range []string{crun, runc} {
		bin, err := exec.LookPath(rt)
		if err != nil {
			continue
		}
		state, err := g.Sub("state-" + rt)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, bench.Job{Contestant: rt, Run: func(ctx context.Context) (time.Duration, error) {
			n++
			return bench.Timed(ctx, bin, "--root", state, "run", "--bundle", bundle, fmt.Sprintf("cfs-bench-%d-%d", os.Getpid(), n))
		}})
	}
	return jobs, nil
}

// idle is what a container does that waits to be asked for something.
var idle = []string{"/bin/busybox", "sleep", "100000"}

// execs runs a command in a container that runs.
func (o options) execs(ctx context.Context, r *bench.Report, _ *bench.Ground, _ imagegen.Layer, engines []engine) (err error) {
	const workload = "exec true"
	var jobs []bench.Job
	for _, e := range engines {
		id, err := e.start(ctx, idle...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, e.remove(ctx, id)) }()
		jobs = append(jobs, e.job("exec", id, "true"))
	}
	samples, err := bench.Compare(ctx, o.Runs, true, jobs...)
	if err != nil {
		return err
	}
	r.Add(workload, 0, samples, cfs, podman)
	r.Judge(bench.Target{Workload: workload, Contestant: cfs, Against: podman, Max: 0.2})
	return nil
}

// manyContainers is how many there are to be listed; a tenth of them run.
const manyContainers = 100

// lists lists many containers.
func (o options) lists(ctx context.Context, r *bench.Report, _ *bench.Ground, _ imagegen.Layer, engines []engine) (err error) {
	workload := fmt.Sprintf("ps -a of %d containers", manyContainers)
	r.Notes = append(r.Notes, fmt.Sprintf("ps: %d of the containers run, the others were created", manyContainers/10))
	var jobs []bench.Job
	for _, e := range engines {
		var ids []string
		for n := range manyContainers {
			if n%10 == 0 {
				id, err := e.start(ctx, idle...)
				if err != nil {
					return err
				}
				ids = append(ids, id)
				continue
			}
			if _, err := e.timed(ctx, append(e.container("create"), oneLayer)...); err != nil {
				return err
			}
		}
		defer func() { err = errors.Join(err, e.remove(ctx, ids...)) }()
		jobs = append(jobs, e.job("ps", "-a"))
	}
	samples, err := bench.Compare(ctx, o.Runs, true, jobs...)
	if err != nil {
		return err
	}
	r.Add(workload, 0, samples, cfs, podman)
	r.Judge(bench.Target{Workload: workload, Contestant: cfs, Against: podman, Max: 0.2})
	return nil
}

// maxIdleKiB is what all processes of a container that waits may hold, with the command's.
const maxIdleKiB = 16 << 10

// idleFor is how long a container has waited when it is looked at.
const idleFor = 5 * time.Second

// memory tells what an idle container in the background holds.
func (o options) memory(ctx context.Context, r *bench.Report, _ *bench.Ground, _ imagegen.Layer, engines []engine) error {
	for _, e := range engines {
		id, err := e.start(ctx, idle...)
		if err != nil {
			return err
		}
		time.Sleep(idleFor)
		kib, err := e.containerKiB(ctx, id)
		if err := errors.Join(err, e.remove(ctx, id)); err != nil {
			return err
		}
		c := bench.Count{What: e.name + ": KiB (PSS) of all processes of an idle container in the background", Value: kib}
		if e.name == cfs {
			most := int64(maxIdleKiB)
			c.Max = &most
		}
		r.Counts = append(r.Counts, c)
	}
	return nil
}

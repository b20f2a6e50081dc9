// Command bench-run compares `cfs run` of a small image with an OCI runtime that
// runs the same bundle, from start to end, over and over. It needs root, crun
// and a busybox, and exits with 1 if the target is missed.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/imagegen"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/userns"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// imageName is that of the small image.
const imageName = "bench-run:latest"

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
	jobs, order, err := o.jobs(ctx, g, layer)
	if err != nil {
		return err
	}
	r := &bench.Report{Name: "bench-run", Conditions: bench.Here()}
	r.Conditions.Filesystem, r.Conditions.Rounds = g.Describe(), o.Runs
	r.Conditions.Tree = fmt.Sprintf("busybox, %d KiB; the command is true", len(layer.Tar())>>10)
	r.Conditions.Cache = "warm"
	r.Notes = append(r.Notes, "the OCI runtimes run the configuration that cfs run makes, on an extracted tree; cfs run mounts its union as well")
	samples, err := bench.Compare(ctx, o.Runs, true, jobs...)
	if err != nil {
		return err
	}
	const workload = "run true"
	r.Add(workload, 1, samples, order...)
	r.Judge(bench.Target{Workload: workload, Contestant: "cfs", Against: "crun", Max: 5})
	return o.Publish(r, "crun")
}

func (o options) jobs(ctx context.Context, g *bench.Ground, layer imagegen.Layer) ([]bench.Job, []string, error) {
	bundle, err := writeBundle(ctx, g, layer)
	if err != nil {
		return nil, nil, err
	}
	store := filepath.Join(g.Dir, "cfs")
	if err := o.load(ctx, g, layer, store); err != nil {
		return nil, nil, err
	}
	jobs := []bench.Job{{Contestant: "cfs", Run: func(ctx context.Context) (time.Duration, error) {
		return bench.Timed(ctx, o.cfs, "--root", store, "run", "--rm", "--network", "none", imageName)
	}}}
	order := []string{"cfs"}
	n := 0
	for _, rt := range []string{"crun", "runc"} {
		bin, err := exec.LookPath(rt)
		if err != nil {
			continue
		}
		state, err := g.Sub("state-" + rt)
		if err != nil {
			return nil, nil, err
		}
		order = append(order, rt)
		jobs = append(jobs, bench.Job{Contestant: rt, Run: func(ctx context.Context) (time.Duration, error) {
			n++
			return bench.Timed(ctx, bin, "--root", state, "run", "--bundle", bundle, fmt.Sprintf("cfs-bench-%d-%d", os.Getpid(), n))
		}})
	}
	return jobs, order, nil
}

// writeBundle makes a bundle with the configuration that cfs run would give its
// container, on an extracted tree.
func writeBundle(ctx context.Context, g *bench.Ground, layer imagegen.Layer) (string, error) {
	bundle, err := g.Sub("bundle")
	if err != nil {
		return "", err
	}
	rootfs, err := g.Sub("bundle/rootfs")
	if err != nil {
		return "", err
	}
	tar := filepath.Join(g.Dir, "layer.tar")
	if err := os.WriteFile(tar, layer.Tar(), 0o644); err != nil {
		return "", err
	}
	if err := bench.Extract(ctx, tar, rootfs); err != nil {
		return "", err
	}
	mapping, err := userns.Current()
	if err != nil {
		return "", err
	}
	spec := runtime.DefaultSpec(runtime.SpecOptions{
		Args: []string{"true"}, Hostname: "bench", Network: runtime.NetworkNone, NoNewPrivileges: true, Mapping: mapping,
	})
	spec.Version = "1.0.2"                                              // what crun 1.8 and runc 1.1 know; nothing newer is used
	for _, name := range []string{"hosts", "hostname", "resolv.conf"} { // as cfs run binds them
		file := filepath.Join(bundle, name)
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			return "", err
		}
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/etc/" + name, Type: "bind", Source: file, Options: []string{"bind", "rprivate"}})
	}
	b, err := json.Marshal(spec)
	if err != nil {
		return "", err
	}
	return bundle, os.WriteFile(filepath.Join(bundle, "config.json"), b, 0o644)
}

// load brings the image into the store.
func (o options) load(ctx context.Context, g *bench.Ground, layer imagegen.Layer, store string) error {
	image := imagegen.NewImage(imageName, imagegen.Plain, []imagegen.Layer{layer})
	image.Config = ocispec.ImageConfig{Cmd: []string{"true"}}
	file := filepath.Join(g.Dir, "image.tar")
	var b bytes.Buffer
	if err := imagegen.WriteDockerArchive(&b, image); err != nil {
		return err
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		return err
	}
	_, err := bench.Timed(ctx, o.cfs, "--root", store, "load", "-i", file)
	return err
}

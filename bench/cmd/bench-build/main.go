// Command bench-build measures builds, whole programs from start to end, against
// buildah with layers on its overlay driver: ten steps, six of which run something, done
// anew and found in the cache, and the copy of 20,000 files, likewise. It needs root,
// buildah and a busybox, and exits with 1 if a target is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/imagegen"
)

// The contestants.
const (
	cfs     = "cfs"
	buildah = "buildah"
)

const (
	base  = "localhost/busybox:latest"
	files = 20_000 // that are copied
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
	bench.Main("bench-build", func(ctx context.Context) error { return o.run(ctx) })
}

func (o options) run(ctx context.Context) (err error) {
	if o.cfs, err = filepath.Abs(o.cfs); err != nil {
		return err
	}
	return o.OnGround(ctx, "bench-build", func(g *bench.Ground, r *bench.Report) error { return o.measure(ctx, g, r) })
}

func (o options) measure(ctx context.Context, g *bench.Ground, r *bench.Report) error {
	r.Conditions.Cache = "warm"
	r.Conditions.Tree = fmt.Sprintf("a busybox; a context of %d files", files)
	r.Notes = append(r.Notes, "buildah runs its steps in a chroot, which is the least that it can do; cfs in all of a container's namespaces")
	lab := filepath.Join(g.Dir, "context")
	if err := writeContext(lab); err != nil {
		return err
	}
	tools, err := o.tools(ctx, g.Dir)
	if err != nil {
		return err
	}
	for _, w := range []struct {
		name, file string
		cold       bool
		targets    []bench.Target
	}{
		{"10 steps, anew", "steps", true, []bench.Target{{Contestant: cfs, Against: buildah, Max: 0.8}}},
		{"10 steps, cached", "steps", false, []bench.Target{{Contestant: cfs, Against: buildah, Max: 0.2}, {Contestant: cfs, Most: 100 * time.Millisecond}}},
		{"COPY of 20,000 files, anew", "copy", true, []bench.Target{{Contestant: cfs, Against: buildah, Max: 0.35}}},
		{"COPY of 20,000 files, cached", "copy", false, []bench.Target{{Contestant: cfs, Against: buildah, Max: 0.1}}},
	} {
		var jobs []bench.Job
		for _, t := range tools {
			args := []string{"--file", filepath.Join(lab, w.file)}
			if w.cold {
				args = append(args, "--no-cache")
			}
			jobs = append(jobs, bench.Job{Contestant: t.name, Run: func(ctx context.Context) (time.Duration, error) {
				return t.build(ctx, append(args, lab)...)
			}})
		}
		samples, err := bench.Compare(ctx, o.Runs, true, jobs...)
		if err != nil {
			return err
		}
		r.Add(w.name, 0, samples, cfs, buildah)
		for _, t := range w.targets {
			t.Workload = w.name
			r.Judge(t)
		}
	}
	return o.Publish(r, buildah)
}

// writeContext makes the Dockerfiles, and the files that one of them copies.
func writeContext(dir string) error {
	steps := "FROM " + base + "\nENV A=1\nLABEL a=b\nWORKDIR /steps\n"
	for i := range 6 {
		steps += fmt.Sprintf("RUN echo %d > /steps/%d\n", i, i)
	}
	steps += "CMD [\"sh\"]\n"
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "steps"), []byte(steps), 0o644)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "copy"), []byte("FROM "+base+"\nCOPY files /files\n"), 0o644)
	}
	for i := 0; i < files && err == nil; i++ {
		sub := filepath.Join(dir, "files", fmt.Sprint(i/200))
		if i%200 == 0 {
			err = os.MkdirAll(sub, 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), []byte(strings.Repeat("x", i%5000)), 0o644)
		}
	}
	return err
}

// A tool is a program that builds.
type tool struct {
	name  string
	build func(ctx context.Context, args ...string) (time.Duration, error)
}

// tools are both, with the base image in stores below dir.
func (o options) tools(ctx context.Context, dir string) ([]tool, error) {
	l, err := bench.BusyboxLayer(o.busybox)
	if err != nil {
		return nil, err
	}
	img := imagegen.NewImage(base, imagegen.Plain, []imagegen.Layer{l})
	img.Config = ocispec.ImageConfig{Cmd: []string{"sh"}}
	archive := filepath.Join(dir, "busybox.tar")
	f, err := os.Create(archive)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(imagegen.WriteDockerArchive(f, img), f.Close()); err != nil {
		return nil, err
	}
	mine := []string{"--root", filepath.Join(dir, "cfs")}
	theirs := []string{"--root", filepath.Join(dir, "buildah"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "overlay"}
	if _, err := bench.Timed(ctx, o.cfs, append(mine, "load", "--input", archive)...); err != nil {
		return nil, err
	}
	if _, err := bench.Timed(ctx, buildah, append(theirs, "pull", "docker-archive:"+archive)...); err != nil {
		return nil, err
	}
	return []tool{
		{cfs, func(ctx context.Context, args ...string) (time.Duration, error) {
			return bench.Timed(ctx, o.cfs, append(append(mine[:2:2], "build"), args...)...)
		}},
		{buildah, func(ctx context.Context, args ...string) (time.Duration, error) {
			return bench.Timed(ctx, buildah, append(append(theirs[:6:6], "build", "--layers", "--isolation", "chroot"), args...)...)
		}},
	}, nil
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/imagegen"
)

// The images: busybox alone, and below many layers that are next to empty.
const (
	oneLayer   = "localhost/bench-run:latest"
	deepImage  = "localhost/bench-run-deep:latest"
	deepLayers = 60
)

// An engine has Docker's command line, and a store of its own.
type engine struct {
	name string
	args func(command ...string) []string // of the whole program
	path string
	make []string     // flags of run and create
	gone func() error // removes the store
}

// engines are cfs and, if it is installed, podman, their stores below dir.
func (o options) engines(dir string) []engine {
	store := filepath.Join(dir, "cfs")
	p := bench.Podman{Dir: filepath.Join(dir, "podman")}
	all := []engine{
		{name: cfs, path: o.cfs, args: func(c ...string) []string { return append([]string{"--root", store}, c...) }, gone: func() error { return os.RemoveAll(store) }},
		{name: podman, path: podman, args: p.Args, gone: p.Remove, make: ownLimits()},
	}
	if !installed(podman) {
		return all[:1]
	}
	return all
}

// ownLimits are flags that keep podman from giving more than this process has.
func ownLimits() (flags []string) {
	for _, l := range []struct {
		name string
		id   int
	}{{"nofile", unix.RLIMIT_NOFILE}, {"nproc", unix.RLIMIT_NPROC}} {
		var r unix.Rlimit
		if err := unix.Getrlimit(l.id, &r); err == nil {
			n := min(r.Max, 1024)
			flags = append(flags, "--ulimit", fmt.Sprintf("%s=%d:%d", l.name, n, n))
		}
	}
	return flags
}

// timed runs a command.
func (e engine) timed(ctx context.Context, command ...string) (time.Duration, error) {
	return bench.Timed(ctx, e.path, e.args(command...)...)
}

// container is a command that makes a container without network.
func (e engine) container(command ...string) []string {
	return slices.Concat(command, e.make, []string{"--network", "none"})
}

// job is a command as a contestant.
func (e engine) job(command ...string) bench.Job {
	return bench.Job{Contestant: e.name, Run: func(ctx context.Context) (time.Duration, error) { return e.timed(ctx, command...) }}
}

// start runs a container in the background and returns its ID.
func (e engine) start(ctx context.Context, command ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, e.path, e.args(append(e.container("run", "-d"), append([]string{oneLayer}, command...)...)...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s run -d: %w: %s", e.name, err, errs.Bytes())
	}
	return strings.TrimSpace(out.String()), nil
}

// remove removes containers, whatever they do.
func (e engine) remove(ctx context.Context, ids ...string) error {
	_, err := e.timed(ctx, append([]string{"rm", "-f"}, ids...)...)
	return err
}

// containerKiB is what the processes of a container hold, and the one that watches over it: the
// parent of its first.
func (e engine) containerKiB(ctx context.Context, id string) (int64, error) {
	out, err := exec.CommandContext(ctx, e.path, e.args("inspect", "--format", "{{.State.Pid}}", id)...).Output()
	if err != nil {
		return 0, fmt.Errorf("%s inspect: %w", e.name, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return 0, err
	}
	parent, err := bench.Parent(pid)
	if err != nil {
		return 0, err
	}
	return bench.FamilyKiB(parent)
}

// reset removes everything. What a container of podman has mounted goes with the container.
func (e engine) reset() error {
	var err error
	if e.name == podman {
		_, err = e.timed(context.Background(), "rm", "--all", "--force", "--time", "0")
	}
	return errors.Join(err, e.gone())
}

// loadImages brings the images into all stores.
func loadImages(ctx context.Context, g *bench.Ground, layer imagegen.Layer, engines []engine) error {
	one := imagegen.NewImage(oneLayer, imagegen.Plain, []imagegen.Layer{layer})
	layers := []imagegen.Layer{layer}
	for n := range deepLayers - 1 {
		layers = append(layers, imagegen.Layer{imagegen.File(fmt.Sprintf("layer%02d", n), fmt.Sprintln(n))})
	}
	deep := imagegen.NewImage(deepImage, imagegen.Plain, layers)
	var b bytes.Buffer
	one.Config = ocispec.ImageConfig{Cmd: []string{"true"}}
	deep.Config = one.Config
	if err := imagegen.WriteDockerArchive(&b, one, deep); err != nil {
		return err
	}
	file := filepath.Join(g.Dir, "images.tar")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		return err
	}
	var errs []error
	for _, e := range engines {
		_, err := e.timed(ctx, "load", "-i", file)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

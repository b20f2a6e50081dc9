package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/debianroot"
	"github.com/cfs-project/cfs/internal/imagegen"
)

// manyImages is how many the store has that is listed.
const manyImages = 200

// lists asks a store of many images for all of them, and for one.
func (o options) lists(ctx context.Context, r *bench.Report, g *bench.Ground, _ debianroot.DevImage) (err error) {
	archive := filepath.Join(g.Dir, "many.tar")
	if err := writeMany(archive); err != nil {
		return err
	}
	defer os.Remove(archive)
	tools := o.tools(g.Dir)
	defer func() { err = errors.Join(err, resetAll(tools)) }()
	for _, t := range tools {
		if _, err := t.run(ctx, "load", "--input", archive); err != nil {
			return err
		}
	}
	for _, w := range [][]string{{"images"}, {"inspect", imageName(manyImages / 2)}, {"history", imageName(manyImages / 2)}} {
		if !o.can(ctx, r, w[0]) {
			continue
		}
		var jobs []bench.Job
		for _, t := range tools {
			jobs = append(jobs, bench.Job{Contestant: t.name, Run: func(ctx context.Context) (time.Duration, error) { return t.run(ctx, w...) }})
		}
		samples, err := bench.Compare(ctx, o.Runs, true, jobs...)
		if err != nil {
			return err
		}
		r.Add(w[0], 0, samples, cfs, podman)
		r.Judge(bench.Target{Workload: w[0], Contestant: cfs, Against: podman, Max: 0.1})
	}
	return nil
}

func imageName(i int) string { return fmt.Sprintf("localhost/small%03d:latest", i) }

// writeMany writes a docker-archive of images that share their lowest layer.
func writeMany(path string) error {
	base := imagegen.Layer{imagegen.Dir("."), imagegen.Dir("etc"), imagegen.File("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")}
	var images []imagegen.Image
	for i := range manyImages {
		img := imagegen.NewImage(imageName(i), imagegen.Plain, []imagegen.Layer{base, {imagegen.File("etc/hostname", fmt.Sprintln(i))}})
		img.Config = ocispec.ImageConfig{Cmd: []string{"/bin/sh"}, Env: []string{fmt.Sprintf("NUMBER=%d", i)}}
		images = append(images, img)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(imagegen.WriteDockerArchive(f, images...), f.Close())
}

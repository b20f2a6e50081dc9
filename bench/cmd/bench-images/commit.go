package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/debianroot"
	"github.com/cfs-project/cfs/internal/imagegen"
	"github.com/cfs-project/cfs/layerpack"
)

// newBytes is how much new data is committed.
const newBytes = 1 << 30

// commit makes an image of a container with new data in it, and compresses the
// same bytes alone.
func (o options) commit(ctx context.Context, r *bench.Report, g *bench.Ground, img debianroot.DevImage) (err error) {
	if !o.can(ctx, r, "commit") {
		return nil
	}
	dir, err := g.Sub("commit")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "data")
	if err := writeData(ctx, img, dir, data); err != nil {
		return err
	}
	const small, container = "localhost/busybox:latest", "work"
	archive := filepath.Join(dir, "busybox.tar")
	if err := o.writeBusybox(archive, small); err != nil {
		return err
	}
	mine := o.tools(dir)[0]
	if _, err := mine.run(ctx, "load", "--input", archive); err != nil {
		return err
	}
	if _, err := bench.TimedInput(ctx, data, o.cfs, "--root", filepath.Join(dir, "cfs"), "run", "-i", "--name", container, "--network", "none", small,
		"sh", "-c", "cat > /data"); err != nil {
		return err
	}
	n := 0
	samples, err := bench.Compare(ctx, o.slow, false,
		bench.Job{Contestant: cfs, Run: func(ctx context.Context) (time.Duration, error) {
			n++
			name := fmt.Sprintf("localhost/new:%d", n)
			d, err := mine.run(ctx, "commit", container, name)
			if err == nil {
				_, err = mine.run(ctx, "rmi", name)
			}
			return d, err
		}},
		bench.Job{Contestant: pgzip, Run: func(context.Context) (time.Duration, error) { return compress(data) }})
	if err != nil {
		return err
	}
	const workload = "commit of 1 GiB"
	r.Add(workload, 0, samples, cfs, pgzip)
	r.Judge(bench.Target{Workload: workload, Contestant: cfs, Against: pgzip, Max: 1})
	_, err = mine.run(ctx, "rm", container)
	return err
}

// writeData makes the new data, of what the image holds, in a file.
func writeData(ctx context.Context, img debianroot.DevImage, dir, path string) error {
	archive := filepath.Join(dir, "dev.tar")
	if _, err := bench.Timed(ctx, "skopeo", "copy", "--quiet", "oci:"+img.Gzip+":"+debianroot.DevTag, "docker-archive:"+archive); err != nil {
		return err
	}
	from := bench.Repeated{Paths: []string{archive}}
	return errors.Join(from.WriteFile(path, newBytes), from.Close(), os.Remove(archive))
}

func (o options) writeBusybox(path, name string) error {
	l, err := bench.BusyboxLayer(o.busybox)
	if err != nil {
		return err
	}
	img := imagegen.NewImage(name, imagegen.Plain, []imagegen.Layer{l})
	img.Config = ocispec.ImageConfig{Cmd: []string{"sh"}}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(imagegen.WriteDockerArchive(f, img), f.Close())
}

// compress compresses a file as a layer is.
func compress(path string) (time.Duration, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	start := time.Now()
	z, err := layerpack.NewCompressor(io.Discard, layerpack.Gzip)
	if err != nil {
		return 0, err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{z}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	err = errors.Join(err, z.Close())
	return time.Since(start), err
}

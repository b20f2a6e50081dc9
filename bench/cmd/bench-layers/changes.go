package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/debianroot"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/unionfs"
)

// The contestants of changes. Packing is what the snapshot changes, as a layer
// that goes nowhere.
const (
	list      = "list"
	packGzip  = "pack, gzip"
	packPlain = "pack, plain"
	pgzip     = "pgzip"
	tarHash   = "tar+hash"
)

// The workloads of changes.
const (
	fewChanges = "10 changed files"
	newData    = "1 GiB of new data"
	smallFiles = "20000 small new files"
)

// What is changed.
const (
	largeFiles, largeSize = 16, 64 << 20
	smallDirs, smallPer   = 200, 100
	smallSize             = 1000
)

// changer is an image with snapshots on it.
type changer struct {
	g      *bench.Ground
	driver *unionfs.Driver
	chain  cow.Chain
	bytes  bench.Repeated // what new files hold: the image's own tars
}

// changes compares what comes out of snapshots of the image.
func (o options) changes(ctx context.Context, r *bench.Report, g *bench.Ground, img debianroot.DevImage) (err error) {
	c, err := newChanger(ctx, g, img)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.bytes.Close()) }()
	for _, w := range []struct {
		workload string
		change   func(root string) error
		jobs     func(cow.Snapshot) []bench.Job
	}{
		{fewChanges, changeFew, func(s cow.Snapshot) []bench.Job {
			return []bench.Job{{Contestant: list, Run: func(ctx context.Context) (time.Duration, error) { return c.list(ctx, s) }}, c.pack(s, packGzip, layerpack.Gzip)}
		}},
		{newData, c.writeLarge, func(s cow.Snapshot) []bench.Job {
			return []bench.Job{{Contestant: pgzip, Run: func(ctx context.Context) (time.Duration, error) { return c.compress(ctx, s) }}, c.pack(s, packGzip, layerpack.Gzip)}
		}},
		{smallFiles, c.writeSmall, func(s cow.Snapshot) []bench.Job {
			return []bench.Job{{Contestant: tarHash, Run: func(ctx context.Context) (time.Duration, error) { return tarAndHash(ctx, upper(s)) }},
				c.pack(s, packPlain, layerpack.Plain), c.pack(s, packGzip, layerpack.Gzip)}
		}},
	} {
		s, err := c.snapshot(ctx, w.workload, w.change)
		if err != nil {
			return fmt.Errorf("%s: %w", w.workload, err)
		}
		samples, err := bench.Compare(ctx, o.Runs, true, w.jobs(s)...)
		if err != nil {
			return err
		}
		r.Add(w.workload, 0, samples, list, pgzip, tarHash, packPlain, packGzip)
		if err := c.driver.Remove(ctx, s); err != nil {
			return err
		}
	}
	r.Judge(bench.Target{Workload: fewChanges, Contestant: list, Most: 20 * time.Millisecond})
	r.Judge(bench.Target{Workload: newData, Contestant: packGzip, Against: pgzip, Max: 1 / 0.9})
	// What it is held against doesn't compress either.
	r.Judge(bench.Target{Workload: smallFiles, Contestant: packPlain, Against: tarHash, Max: 2})
	return nil
}

func newChanger(ctx context.Context, g *bench.Ground, img debianroot.DevImage) (*changer, error) {
	paths, err := bench.LayoutLayers(img.Zstd, debianroot.DevTag)
	if err != nil {
		return nil, err
	}
	var layers []io.Reader
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		layers = append(layers, f)
	}
	dir, err := g.Sub("chain")
	if err != nil {
		return nil, err
	}
	c := &changer{g: g, driver: unionfs.NewDriver(nil)}
	if c.chain, err = bench.PackChain(ctx, dir, layers...); err != nil {
		return nil, err
	}
	for _, l := range c.chain.Layers {
		c.bytes.Paths = append(c.bytes.Paths, l.Tar())
	}
	return c, nil
}

// snapshot is one that change changed.
func (c *changer) snapshot(ctx context.Context, name string, change func(root string) error) (s cow.Snapshot, err error) {
	dir, err := c.g.Sub("snapshot " + name)
	if err != nil {
		return s, err
	}
	s = cow.Snapshot{Dir: dir, Base: c.chain}
	if err := c.driver.Create(ctx, s); err != nil {
		return s, err
	}
	root, err := c.g.Point("snapshot")
	if err != nil {
		return s, err
	}
	m, err := c.driver.Mount(ctx, s, root, cow.MountOptions{})
	if err != nil {
		return s, err
	}
	return s, errors.Join(change(root), m.Unmount())
}

// upper is where a snapshot's changes are.
func upper(s cow.Snapshot) string { return filepath.Join(s.Dir, "upper") }

func (c *changer) list(ctx context.Context, s cow.Snapshot) (time.Duration, error) {
	start, n := time.Now(), 0
	for _, err := range c.driver.Changes(ctx, s) {
		if err != nil {
			return 0, err
		}
		n++
	}
	d := time.Since(start)
	if n == 0 {
		return 0, errors.New("nothing has changed")
	}
	return d, nil
}

func (c *changer) pack(s cow.Snapshot, name string, how layerpack.Compression) bench.Job {
	return bench.Job{Contestant: name, Run: func(ctx context.Context) (time.Duration, error) {
		start := time.Now()
		_, err := layerpack.WriteLayer(ctx, io.Discard, c.driver.Diff(ctx, s), layerpack.WriteOptions{Compression: how})
		return time.Since(start), err
	}}
}

// compress reads the new files and compresses them as a layer is.
func (c *changer) compress(ctx context.Context, s cow.Snapshot) (time.Duration, error) {
	start := time.Now()
	z, err := layerpack.NewCompressor(io.Discard, layerpack.Gzip)
	if err != nil {
		return 0, err
	}
	for i := range largeFiles {
		f, err := os.Open(filepath.Join(upper(s), largeName(i)))
		if err != nil {
			return 0, err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{z}, struct{ io.Reader }{f}, make([]byte, 1<<20))
		f.Close()
		if err != nil {
			return 0, err
		}
	}
	err = z.Close()
	return time.Since(start), err
}

// tarAndHash has tar(1) read a tree, and hashes what it writes.
func tarAndHash(ctx context.Context, dir string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, "tar", "--create", "--directory", dir, ".")
	cmd.Stderr = os.Stderr
	h := sha256.New()
	cmd.Stdout = h
	start := time.Now()
	err := cmd.Run()
	return time.Since(start), err
}

// changeFew appends a line to ten files of the image, here and there.
func changeFew(root string) error {
	for _, name := range []string{
		"etc/passwd", "etc/group", "etc/debian_version", "usr/bin/ldd", "usr/lib/os-release", "usr/include/stdio.h",
		"usr/lib/python3.11/os.py", "usr/share/perl5/Debconf/Config.pm", "usr/share/go-1.19/src/fmt/print.go", "usr/share/zoneinfo/zone.tab",
	} {
		f, err := os.OpenFile(filepath.Join(root, name), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("changed\n")
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func largeName(i int) string { return fmt.Sprintf("new%02d", i) }

func (c *changer) writeLarge(root string) error {
	for i := range largeFiles {
		if err := c.bytes.WriteFile(filepath.Join(root, largeName(i)), largeSize); err != nil {
			return err
		}
	}
	return nil
}

func (c *changer) writeSmall(root string) error {
	for d := range smallDirs {
		dir := filepath.Join(root, "srv", fmt.Sprintf("d%03d", d))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for i := range smallPer {
			if err := c.bytes.WriteFile(filepath.Join(dir, fmt.Sprintf("file%02d", i)), smallSize); err != nil {
				return err
			}
		}
	}
	return nil
}

// Command bench-index measures what indexing costs: packing a layer against
// decompressing and hashing it alone, and mounting a chain of many layers
// against one of one layer. It needs root, and exits with 1 if a target is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
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

// manyLayers is the length of the long chain.
const manyLayers = 60

// The contestants.
const (
	oneThread = "decompress+hash, one thread"
	pipelined = "decompress+hash, pipelined"
	written   = "decompress+hash+write, pipelined"
	packed    = "pack"
	indexed   = "pack and index"
	one       = "1 layer"
	many      = "60 layers"
)

type options struct {
	bench.Flags
	tar string
}

func main() {
	var o options
	flag.StringVar(&o.tar, "tar", "", "uncompressed tar of the tree (default: Debian's minimal root, built once and kept)")
	o.Register()
	bench.Main("bench-index", func(ctx context.Context) error { return o.run(ctx) })
}

func (o options) run(ctx context.Context) (err error) {
	if o.tar == "" {
		if o.tar, err = debianroot.Tar(ctx); err != nil {
			return err
		}
	}
	st, err := os.Stat(o.tar)
	if err != nil {
		return err
	}
	return o.OnGround(ctx, "bench-index", func(g *bench.Ground, r *bench.Report) error { return o.measure(ctx, g, r, st.Size()) })
}

func (o options) measure(ctx context.Context, g *bench.Ground, r *bench.Report, size int64) error {
	r.Conditions.Tree = fmt.Sprintf("a tar of %d MiB", size>>20)
	r.Conditions.Cache = "what is read is in the page cache; what is written is synced, as a store must"
	for _, c := range []struct{ program, suffix string }{{"gzip", ".gz"}, {"zstd", ".zst"}} {
		if err := o.pack(ctx, r, g, c.program, c.suffix); err != nil {
			return err
		}
		// The first is the hard one: it runs its stages beside each other as Pack
		// does, and writes nothing. The second tells the index's part from the
		// part of keeping the tar.
		r.Judge(bench.Target{Workload: c.program, Contestant: indexed, Against: pipelined, Max: 1.3})
		r.Judge(bench.Target{Workload: c.program, Contestant: indexed, Against: written, Max: 1.3})
	}
	if err := o.mounts(ctx, r, g); err != nil {
		return err
	}
	r.Judge(bench.Target{Workload: "mount", Contestant: many, Against: one, Difference: 10 * time.Millisecond})
	return o.Publish(r, pipelined)
}

// pack compresses the tar and compares.
func (o options) pack(ctx context.Context, r *bench.Report, g *bench.Ground, program, suffix string) error {
	file := filepath.Join(g.Dir, "layer.tar"+suffix)
	if err := compress(ctx, program, o.tar, file); err != nil {
		return err
	}
	defer os.Remove(file)
	_, blob, tar, err := bench.DecodeAndHash(file, bench.Decoding{Pipelined: true})
	if err != nil {
		return err
	}
	check := func(b, t string) error {
		if b != blob || t != tar {
			return errors.New("the contestants don't agree on the digests")
		}
		return nil
	}
	hash := func(how bench.Decoding) func(context.Context) (time.Duration, error) {
		return func(context.Context) (time.Duration, error) {
			d, b, t, err := bench.DecodeAndHash(file, how)
			if how.Write != "" {
				err = errors.Join(err, os.Remove(how.Write))
			}
			return d, errors.Join(err, check(b, t))
		}
	}
	pack := func(index bool) func(context.Context) (time.Duration, error) {
		return func(ctx context.Context) (d time.Duration, err error) {
			dir, err := g.Sub("packed")
			if err != nil {
				return 0, err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
			f, err := os.Open(file)
			if err != nil {
				return 0, err
			}
			defer f.Close()
			start := time.Now()
			p, err := layerpack.Pack(ctx, f, dir, layerpack.PackOptions{})
			if err == nil && index {
				err = layerpack.BuildIndex(ctx, filepath.Join(dir, "index"), []cow.Layer{{DiffID: p.DiffID, Dir: dir}})
			}
			d = time.Since(start)
			return d, errors.Join(err, check(p.Blob.Encoded(), p.DiffID.Encoded()))
		}
	}
	jobs := []bench.Job{
		{Contestant: oneThread, Run: hash(bench.Decoding{})},
		{Contestant: pipelined, Run: hash(bench.Decoding{Pipelined: true})},
		{Contestant: written, Run: hash(bench.Decoding{Write: filepath.Join(g.Dir, "written.tar")})},
		{Contestant: packed, Run: pack(false)}, {Contestant: indexed, Run: pack(true)},
	}
	samples, err := bench.Compare(ctx, o.Runs, true, jobs...)
	if err != nil {
		return err
	}
	r.Add(program, 0, samples, oneThread, pipelined, written, packed, indexed)
	return nil
}

func compress(ctx context.Context, program, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "-c")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, os.Stderr
	if err := errors.Join(cmd.Run(), out.Close()); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}

// mounts compares mounting the same tree from one layer and from many. The
// time is until the mount has answered; this process serves it.
func (o options) mounts(ctx context.Context, r *bench.Report, g *bench.Ground) error {
	target, err := g.Point("mount")
	if err != nil {
		return err
	}
	drv := unionfs.NewDriver(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	var jobs []bench.Job
	for _, c := range []struct {
		name   string
		layers int
	}{{one, 1}, {many, manyLayers}} {
		chain, err := o.chain(ctx, g, c.layers)
		if err != nil {
			return err
		}
		jobs = append(jobs, bench.Job{Contestant: c.name, Run: func(ctx context.Context) (time.Duration, error) {
			start := time.Now()
			m, err := drv.Mount(ctx, cow.Snapshot{Base: chain}, target, cow.MountOptions{ReadOnly: true})
			if err != nil {
				return 0, err
			}
			_, err = os.ReadDir(target)
			d := time.Since(start)
			return d, errors.Join(err, m.Unmount())
		}})
	}
	samples, err := bench.Compare(ctx, o.Runs, true, jobs...)
	if err != nil {
		return err
	}
	r.Add("mount", 0, samples, one, many)
	return nil
}

func (o options) chain(ctx context.Context, g *bench.Ground, n int) (cow.Chain, error) {
	dir, err := g.Sub(fmt.Sprintf("chain%d", n))
	if err != nil {
		return cow.Chain{}, err
	}
	names, err := bench.SplitTar(o.tar, dir, n)
	if err != nil {
		return cow.Chain{}, err
	}
	var layers []io.Reader
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return cow.Chain{}, err
		}
		defer f.Close()
		layers = append(layers, f)
	}
	return bench.PackChain(ctx, dir, layers...)
}

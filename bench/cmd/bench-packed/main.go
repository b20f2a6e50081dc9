// Command bench-packed compares the union over a packed layer with the kernel's
// overlayfs over the extracted tree, and with the tree itself, on a real root
// filesystem. It needs root, and exits with 1 if a target is missed.
package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/debianroot"
	"github.com/cfs-project/cfs/unionfs"
)

// reference and judged are the contestants that targets are about.
const (
	reference = "overlay"
	judged    = "cfs"
)

type options struct {
	bench.Flags
	tar      string
	readOnly bool
	only     string
}

func main() {
	bench.Serve()
	var o options
	flag.StringVar(&o.tar, "tar", "", "uncompressed tar of the tree (default: Debian's minimal root, built once and kept)")
	o.Register()
	flag.StringVar(&o.only, "only", "", "measure only the rows whose names contain this, and leave fuse-overlayfs out")
	flag.BoolVar(&o.readOnly, "ro", false, "mount without an upper directory")
	bench.Main("bench-packed", func(ctx context.Context) error { return o.run(ctx) }) // by then they are parsed
}

func (o options) run(ctx context.Context) (err error) {
	if o.tar == "" {
		if o.tar, err = debianroot.Tar(ctx); err != nil {
			return err
		}
	}
	return o.OnGround(ctx, "bench-packed", func(g *bench.Ground, r *bench.Report) error { return o.on(ctx, g, r) })
}

func (o options) on(ctx context.Context, g *bench.Ground, r *bench.Report) error {
	tree, err := o.tree(ctx, g)
	if err != nil {
		return err
	}
	r.Conditions.Tree = tree.Paths.String()
	r.Conditions.Cache = "warm: everything ran once before; cold: unmounted, sync, drop_caches 3, mounted again"
	r.Notes = append(r.Notes, "overlay and cfs are mounted with an empty upper directory")
	if o.readOnly {
		r.Notes[0] = "overlay and cfs are mounted read-only, without an upper directory"
	}
	fixtures, err := g.Sub("fixtures")
	if err != nil {
		return err
	}
	b := &bench.Bench{Fixtures: bench.NewFixtures(fixtures, bench.Sizes{}), Rounds: bench.Rounds{Most: o.Runs}, Report: r, Counted: judged}
	b.Fixtures.Put(tree)
	if b.Contestants, err = o.contestants(g); err != nil {
		return err
	}
	for _, row := range bench.PackedRows() {
		if !row.Matches(o.only) {
			continue
		}
		if err := b.Measure(ctx, row); err != nil {
			return err
		}
		b.Judge(row, judged, reference)
		if row.State == bench.Warm {
			unasked(r, row.Lines()[0].Name)
		}
	}
	return o.PublishRows(b, judged)
}

// unasked has the report judge that the kernel asks nothing of the union in a warm line.
func unasked(r *bench.Report, line string) {
	for _, q := range r.Requests {
		if q.Workload != line {
			continue
		}
		c := bench.Count{What: "requests to " + q.Contestant + " for one “" + line + "”", Max: new(int64)}
		for _, n := range q.ByOpcode {
			c.Value += n
		}
		r.Counts = append(r.Counts, c)
	}
}

// tree extracts and packs the tree.
func (o options) tree(ctx context.Context, g *bench.Ground) (x bench.Fixture, err error) {
	x.Name = bench.FixtureTree
	if x.Merged, err = g.Sub("tree"); err != nil {
		return x, err
	}
	x.Lowers = []string{x.Merged}
	if err := bench.Extract(ctx, o.tar, x.Merged); err != nil {
		return x, err
	}
	store, err := g.Sub("store")
	if err != nil {
		return x, err
	}
	f, err := os.Open(o.tar)
	if err != nil {
		return x, err
	}
	defer f.Close()
	if x.Chain, err = bench.PackChain(ctx, store, f); err != nil {
		return x, err
	}
	x.Paths, err = bench.ListPaths(x.Merged)
	return x, err
}

func (o options) contestants(g *bench.Ground) ([]bench.Contestant, error) {
	stack := func(name string) (bench.Stack, error) {
		dir, err := g.Sub(name)
		if err != nil {
			return bench.Stack{}, err
		}
		s := bench.Stack{Work: filepath.Join(dir, "work")}
		if !o.readOnly {
			s.Upper = filepath.Join(dir, "upper")
		}
		s.Target, err = g.Point(name)
		return s, err
	}
	kernel, err := stack(reference)
	if err != nil {
		return nil, err
	}
	union, err := stack(judged)
	if err != nil {
		return nil, err
	}
	all := []bench.Contestant{
		&bench.Native{}, &bench.Overlay{Stack: kernel},
		&bench.Served{Label: judged, Driver: unionfs.DriverName, Home: filepath.Join(g.Dir, "store"), Dir: filepath.Join(g.Dir, judged, "changes"), Target: union.Target, ReadOnly: o.readOnly},
	}
	const peer = "fuse-overlayfs"
	if p, err := exec.LookPath(peer); err == nil && o.only == "" {
		s, err := stack(peer)
		if err != nil {
			return nil, err
		}
		all = append(all, &bench.MountProgram{Label: peer, Argv: []string{p}, Stack: s})
	}
	return all, nil
}

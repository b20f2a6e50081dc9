// Command bench-union compares the union over plain directories, served by the
// real program, with the kernel's overlayfs, row by row, each with a target. It
// needs root, and exits with 1 if a target is missed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cfs-project/cfs/bench"
)

type options struct {
	bench.Flags
	cfs         string
	fuseOverlay bool
	passthrough bool
	only        string
	list        bool
	budget      time.Duration
}

// reference and judged are the contestants that targets are about.
const (
	reference = "overlay"
	judged    = "cfs"
	memoryRow = "server memory" // for -only and -list
)

func main() {
	var o options
	o.Register()
	flag.StringVar(&o.cfs, "cfs", "bin/cfs", "the program to measure")
	flag.BoolVar(&o.fuseOverlay, "fuse-overlayfs", false, "measure fuse-overlayfs too")
	flag.BoolVar(&o.passthrough, "passthrough", false, "measure cfs with the mount option passthrough too")
	flag.StringVar(&o.only, "only", "", "measure only rows whose names contain this")
	flag.BoolVar(&o.list, "list", false, "list the rows and their targets, and measure nothing")
	flag.DurationVar(&o.budget, "budget", 12*time.Second, "end a row early, after 3 rounds, when they have taken so long; 0: never")
	flag.Parse()
	if o.list {
		list()
		return
	}
	bench.Main("bench-union", o.run)
}

func list() {
	for _, row := range bench.UnionRows() {
		for _, s := range row.Steps {
			switch {
			case s.Base != "":
				fmt.Printf("%s ≤ %g of %s\n", s.Name, s.Max, s.Base)
			case s.Max > 0:
				fmt.Printf("%s ≤ %g\n", s.Name, s.Max)
			default:
				fmt.Println(s.Name)
			}
		}
	}
	fmt.Println(memoryRow)
}

func (o options) run(ctx context.Context) error {
	return o.OnGround(ctx, "bench-union", func(g *bench.Ground, r *bench.Report) error { return o.on(ctx, g, r) })
}

func (o options) on(ctx context.Context, g *bench.Ground, r *bench.Report) error {
	r.Conditions.Cache = "warm: everything ran once before; cold: unmounted, sync, drop_caches 3, mounted again; otherwise a new mount with an empty upper, lowers warm"
	b, err := o.bench(g, r)
	if err != nil {
		return err
	}
	if err := o.measure(ctx, b); err != nil {
		return err
	}
	return o.PublishRows(b, judged)
}

// bench sets the contestants up.
func (o options) bench(g *bench.Ground, r *bench.Report) (*bench.Bench, error) {
	fixtures, err := g.Sub("fixtures")
	if err != nil {
		return nil, err
	}
	b := &bench.Bench{Fixtures: bench.NewFixtures(fixtures, bench.DefaultSizes), Rounds: bench.Rounds{Most: o.Runs, Least: 3}, Report: r, Counted: judged}
	stack := func(name string) (bench.Stack, error) {
		dir, err := g.Sub(name)
		if err != nil {
			return bench.Stack{}, err
		}
		target, err := g.Point(name)
		return bench.Stack{Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work"), Target: target}, err
	}
	s, err := stack(reference)
	if err != nil {
		return nil, err
	}
	b.Contestants = []bench.Contestant{&bench.Overlay{Stack: s}}
	programs := [][]string{{judged, o.cfs, "union"}}
	if o.passthrough {
		programs = append(programs, []string{"passthrough", o.cfs, "union", "-o", "passthrough"})
	}
	if o.fuseOverlay {
		programs = append(programs, []string{"fuse-overlayfs", "fuse-overlayfs"})
	}
	for _, p := range programs {
		s, err := stack(p[0])
		if err != nil {
			return nil, err
		}
		path, err := exec.LookPath(p[1])
		if err != nil {
			return nil, err
		}
		b.Contestants = append(b.Contestants, &bench.MountProgram{Label: p[0], Argv: append([]string{path}, p[2:]...), Stack: s})
	}
	return b, nil
}

func (o options) measure(ctx context.Context, b *bench.Bench) error {
	rows := bench.UnionRows()
	wanted := func(row bench.Row) bool { return row.Matches(o.only) }
	bases := map[string]bool{} // of the rows that are wanted
	for _, row := range rows {
		for _, s := range row.Steps {
			if wanted(row) && s.Base != "" {
				bases[s.Base] = true
			}
		}
	}
	for _, row := range rows {
		if !wanted(row) && !bases[row.Steps[0].Name] {
			continue
		}
		if _, err := b.Fixtures.Get(ctx, row.Fixture); err != nil { // not in its time
			return err
		}
		if o.budget > 0 {
			b.Rounds.Until = time.Now().Add(o.budget)
		}
		if err := b.Measure(ctx, row); err != nil {
			return err
		}
		b.Judge(row, judged, reference)
	}
	if !strings.Contains(memoryRow, o.only) {
		return nil
	}
	for _, c := range b.Contestants {
		if c.Name() != reference {
			if err := b.MeasureMemory(ctx, c, c.Name() == judged); err != nil {
				return err
			}
		}
	}
	return nil
}

// Command bench-agree measures the same things on the same mounts by cfs's own harness and
// by fio and hyperfine, in turns, and tells whether they agree. It needs root, and exits
// with 1 if they don't.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/cfs-project/cfs/bench"
)

// sizes have all of it done in two minutes.
var sizes = bench.Sizes{Tree: 6000, Many: 2000, Big: 256 << 20, Bigs: 1, Mids: 1, Random: 16384}

type options struct {
	bench.Flags
	cfs string
}

func main() {
	var o options
	o.Register()
	flag.StringVar(&o.cfs, "cfs", "bin/cfs", "the program to measure")
	bench.Main("bench-agree", func(ctx context.Context) error { return o.run(ctx) })
}

func (o options) run(ctx context.Context) (err error) {
	fio, err := exec.LookPath("fio")
	if err != nil {
		return err
	}
	hyperfine, err := exec.LookPath("hyperfine")
	if err != nil {
		return err
	}
	if o.cfs, err = filepath.Abs(o.cfs); err != nil {
		return err
	}
	return o.OnGround(ctx, "bench-agree", func(g *bench.Ground, r *bench.Report) error {
		r.Conditions.Cache = "warm, or written anew"
		contestants, err := o.contestants(g)
		if err != nil {
			return err
		}
		all := bench.Agreements(sizes, fio, hyperfine)
		command := bench.AgreeOnCommand("container start", hyperfine, o.cfs, "--root", filepath.Join(g.Dir, "store"), "run", "--rm", "--network", "none", "cfs/hello")
		fixtures := bench.NewFixtures(filepath.Join(g.Dir, "fixtures"), sizes)
		for _, c := range contestants {
			for _, a := range all {
				if err := measure(ctx, r, c, a, c.Name()+": "+a.Name+" ("+a.Tool+")", fixtures, o.Runs); err != nil {
					return err
				}
			}
		}
		if err := measure(ctx, r, contestants[0], command, command.Name+" ("+command.Tool+")", fixtures, o.Runs); err != nil {
			return err
		}
		if o.JSON != "" {
			if err := r.WriteJSON(o.JSON); err != nil {
				return err
			}
		}
		return print(r)
	})
}

// contestants are the kernel's overlay and cfs's union.
func (o options) contestants(g *bench.Ground) (all []bench.Contestant, err error) {
	stack := func(name string) (bench.Stack, error) {
		dir, err := g.Sub(name)
		if err != nil {
			return bench.Stack{}, err
		}
		target, err := g.Point(name)
		return bench.Stack{Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work"), Target: target}, err
	}
	kernel, err := stack("overlay")
	union, failed := stack("cfs")
	return []bench.Contestant{&bench.Overlay{Stack: kernel}, &bench.MountProgram{Label: "cfs", Argv: []string{o.cfs, "union"}, Stack: union}}, errors.Join(err, failed)
}

func measure(ctx context.Context, r *bench.Report, c bench.Contestant, a bench.Agreement, line string, f *bench.Fixtures, runs int) error {
	samples, err := a.Measure(ctx, c, f, bench.Rounds{Most: runs, Least: min(runs, 5), Until: time.Now().Add(7 * time.Second)})
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	r.Add(line, 1, samples, bench.Ours, bench.Theirs)
	return nil
}

// print tells of each line what both sides found. It fails with ErrMissed if they don't agree.
func print(r *bench.Report) error {
	fmt.Println(r.Conditions)
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "WORKLOAD\tOURS\tINTERVAL\tTHEIRS\tINTERVAL\tRATIO\t")
	missed := false
	for _, x := range r.Results {
		if x.Contestant != bench.Ours {
			continue
		}
		y, _ := r.Result(x.Workload, bench.Theirs)
		word := "agree"
		if !bench.Agree(x.Samples, y.Samples) {
			word, missed = "DIFFER", true
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.3f\t%s\n", x.Workload, shown(x), shown(y), x.Samples.Ratio(y.Samples), word)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if missed {
		return bench.ErrMissed
	}
	return nil
}

func shown(x bench.Result) string {
	at := func(n int64) time.Duration { return time.Duration(n).Round(10 * time.Microsecond) }
	return fmt.Sprintf("%v\t%v to %v", at(x.Median), at(x.Interval[0]), at(x.Interval[1]))
}

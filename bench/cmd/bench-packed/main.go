// Command bench-packed compares the union over a packed layer with the kernel's
// overlayfs over the extracted tree, and with the tree itself, on a real root
// filesystem. It needs root, and exits with 1 if a target is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/debianroot"
	"github.com/cfs-project/cfs/unionfs"
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
	flag.StringVar(&o.only, "only", "", "measure only the workloads whose names contain this, and leave fuse-overlayfs out")
	flag.BoolVar(&o.readOnly, "ro", false, "mount without an upper directory")
	bench.Main("bench-packed", func(ctx context.Context) error { return o.run(ctx) })
}

func (o options) run(ctx context.Context) (err error) {
	if o.tar == "" {
		if o.tar, err = debianroot.Tar(ctx); err != nil {
			return err
		}
	}
	g, err := bench.NewGround(ctx, o.Ground)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	cs, paths, err := o.contestants(ctx, g)
	if err != nil {
		return err
	}
	r := &bench.Report{Name: "bench-packed", Conditions: bench.Here()}
	r.Conditions.Filesystem, r.Conditions.Rounds, r.Conditions.Tree = g.Describe(), o.Runs, paths.String()
	r.Conditions.Cache = "warm: the workload ran once before; cold: unmounted, sync, drop_caches 3, mounted again"
	r.Notes = append(r.Notes, "overlay and cfs are mounted with an empty upper directory")
	if o.readOnly {
		r.Notes[0] = "overlay and cfs are mounted read-only, without an upper directory"
	}
	if err := o.warm(ctx, r, cs, paths); err != nil {
		return err
	}
	if err := o.cold(ctx, g, r, cs, paths); err != nil {
		return err
	}
	for _, t := range []bench.Target{
		{Workload: bench.WarmOpen.Name, Max: 1.0}, {Workload: bench.WarmStat.Name, Max: 1.0},
		{Workload: bench.ColdWalk.Name, Max: 0.6}, {Workload: bench.ColdRead.Name, Max: 0.8},
	} {
		t.Contestant, t.Against = "cfs", "overlay"
		if strings.Contains(t.Workload, o.only) {
			r.Judge(t)
		}
	}
	return o.Publish(r, "overlay")
}

// contestants extracts and packs the tree.
func (o options) contestants(ctx context.Context, g *bench.Ground) ([]bench.Contestant, bench.Paths, error) {
	fail := func(err error) ([]bench.Contestant, bench.Paths, error) { return nil, bench.Paths{}, err }
	dirs := map[string]string{}
	for _, n := range []string{"tree", "store", "overlay", "cfs", "fuse-overlayfs"} {
		d, err := g.Sub(n)
		if err != nil {
			return fail(err)
		}
		dirs[n] = d
	}
	if err := bench.Extract(ctx, o.tar, dirs["tree"]); err != nil {
		return fail(err)
	}
	f, err := os.Open(o.tar)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	chain, err := bench.PackChain(ctx, dirs["store"], f)
	if err != nil {
		return fail(err)
	}
	paths, err := bench.ListPaths(dirs["tree"])
	if err != nil {
		return fail(err)
	}
	points := map[string]string{}
	for _, n := range []string{"overlay", "cfs", "fuse-overlayfs"} {
		if points[n], err = g.Point(n); err != nil {
			return fail(err)
		}
	}
	stack := func(n string) bench.Stack {
		s := bench.Stack{Lowers: []string{dirs["tree"]}, Work: filepath.Join(dirs[n], "work"), Target: points[n]}
		if !o.readOnly {
			s.Upper = filepath.Join(dirs[n], "upper")
		}
		return s
	}
	union := &bench.Served{Label: "cfs", Driver: unionfs.DriverName, Home: dirs["store"], Dir: filepath.Join(dirs["cfs"], "changes"), Target: points["cfs"], ReadOnly: o.readOnly}
	if err := union.Over(bench.Fixture{Chain: chain}, false); err != nil {
		return fail(err)
	}
	cs := []bench.Contestant{
		&bench.Native{Tree: dirs["tree"]},
		&bench.Overlay{Stack: stack("overlay")},
		union,
	}
	if p, err := exec.LookPath("fuse-overlayfs"); err == nil && o.only == "" {
		cs = append(cs, &bench.MountProgram{Label: "fuse-overlayfs", Argv: []string{p}, Stack: stack("fuse-overlayfs")})
	}
	return cs, paths, nil
}

// warm measures with every contestant mounted all the time.
func (o options) warm(ctx context.Context, r *bench.Report, cs []bench.Contestant, p bench.Paths) (err error) {
	roots := map[string]string{}
	var order []string
	for _, c := range cs {
		root, err := c.Mount(ctx)
		if err != nil {
			return fmt.Errorf("mount %s: %w", c.Name(), err)
		}
		defer func() { err = errors.Join(err, c.Unmount()) }()
		roots[c.Name()], order = root, append(order, c.Name())
	}
	for _, w := range []bench.Workload{bench.WarmOpen, bench.WarmStat} {
		if !strings.Contains(w.Name, o.only) {
			continue
		}
		var jobs []bench.Job
		ops := 0
		for _, c := range cs {
			jobs = append(jobs, bench.Job{Contestant: c.Name(), Run: func(context.Context) (d time.Duration, err error) {
				d, ops, err = w.Time(roots[c.Name()], p)
				return d, err
			}})
		}
		samples, err := bench.Compare(ctx, o.Runs, true, jobs...)
		if err != nil {
			return err
		}
		r.Add(w.Name, ops, samples, order...)
		for _, c := range cs {
			if err := count(r, c, w, roots[c.Name()], p); err != nil {
				return err
			}
		}
	}
	return nil
}

// count adds what the kernel asks of a server in one more warm round.
func count(r *bench.Report, c bench.Contestant, w bench.Workload, root string, p bench.Paths) error {
	pid := c.Server()
	if pid == 0 {
		return nil
	}
	var named []string
	calls := func() (int64, error) { return bench.ServerCalls(pid) }
	what, limit := "reads and writes by "+c.Name()+"'s server", (*int64)(nil)
	if u, ok := c.(*bench.Served); ok {
		what, limit = "FUSE requests to "+c.Name(), new(int64)
		last := map[string]uint64{}
		calls = func() (sum int64, err error) {
			now, err := u.Requests()
			named = nil
			for op, n := range now {
				sum += int64(n)
				if n > last[op] {
					named = append(named, fmt.Sprintf("%s %d", op, n-last[op]))
				}
			}
			slices.Sort(named)
			last = now
			return sum, err
		}
	}
	var before, after int64
	for range 10 { // until nobody else on the host dropped the caches under way
		drops, err := bench.CacheDrops()
		if err != nil {
			return err
		}
		if _, _, err := w.Time(root, p); err != nil { // warm again, if they were
			return err
		}
		if before, err = calls(); err != nil {
			return err
		}
		if _, _, err := w.Time(root, p); err != nil {
			return err
		}
		if after, err = calls(); err != nil {
			return err
		}
		now, err := bench.CacheDrops()
		if err != nil {
			return err
		}
		if now == drops {
			break
		}
		r.Notes = append(r.Notes, "somebody dropped the kernel's caches while requests were counted: counted again")
	}
	what = fmt.Sprintf("%s for one %s of the whole tree", what, w.Name)
	if limit != nil && len(named) > 0 {
		what += " (" + strings.Join(named, ", ") + ")"
	}
	r.Counts = append(r.Counts, bench.Count{What: what, Value: after - before, Max: limit})
	return nil
}

// cold measures with a fresh mount and empty caches for every sample.
func (o options) cold(ctx context.Context, g *bench.Ground, r *bench.Report, cs []bench.Contestant, p bench.Paths) error {
	var order []string
	for _, c := range cs {
		order = append(order, c.Name())
	}
	for _, w := range []bench.Workload{bench.ColdWalk, bench.ColdRead, bench.ColdReadKnown} {
		if !strings.Contains(w.Name, o.only) {
			continue
		}
		var jobs []bench.Job
		ops := 0
		for _, c := range cs {
			jobs = append(jobs, bench.Job{Contestant: c.Name(), Run: func(ctx context.Context) (d time.Duration, err error) {
				if err := bench.DropCaches(g.Dir); err != nil {
					return 0, err
				}
				root, err := c.Mount(ctx)
				if err != nil {
					return 0, err
				}
				d, ops, err = w.Time(root, p)
				return d, errors.Join(err, c.Unmount())
			}})
		}
		samples, err := bench.Compare(ctx, o.Runs, false, jobs...)
		if err != nil {
			return err
		}
		r.Add(w.Name, ops, samples, order...)
	}
	return nil
}

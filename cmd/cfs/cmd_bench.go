package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/bench/contest"
	"github.com/cfs-project/cfs/bench/page"
	"github.com/cfs-project/cfs/internal/hint"
)

// Names of the files that a benchmark leaves in --out.
const (
	benchPage = "report.html"
	benchJSON = "report.json"
)

func newBench(t *terminal, g *globals) *cobra.Command {
	var o contest.Options
	var drivers, workloads, depths []string
	var out, compare string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure which storage driver is best here, for what",
		Long: `Measure on this host, with the store where it is, which storage driver is best for
what. Everything is made for it and removed again; no image is needed.

Drivers take turns in rounds. Beside them are measured: the native directory, which is the
limit; the kernel's overlay, which is the reference; and others' unions that are installed
(fuse-overlayfs, unionfs-fuse, podman with its drivers). What can't be used here is listed with the
reason. As root the kernel's caches are dropped for what is measured cold, which whoever else
is on this host notices (--no-cold leaves them); and where the store is not on btrfs, a filesystem
in a file is made for that driver.

A table is printed, with a verdict for each use, and in --out are left:
  ` + benchPage + `   the same with charts, one file that needs nothing else
  ` + benchJSON + `   every sample, with the conditions (bench/schema.json)

Workloads: ` + strings.Join(bench.Groups(), ", ") + `;
or quick, a choice of them that takes two minutes, with --size small; or all.`,
		Example: `  cfs bench --workload quick
  cfs bench --driver union,overlay2 --image debian --out /tmp/report
  cfs bench --out new --compare old/report.json`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			usage := func(err error) error { return &usageError{err, cmd.CommandPath()} }
			if o.Root, err = g.dir(); err != nil {
				return err
			}
			o.Drivers, o.Version = chosen(drivers), version
			o.Groups = chosen(workloads)
			if slices.Contains(o.Groups, "quick") {
				if len(o.Groups) > 1 {
					return usage(fmt.Errorf("quick is a choice of its own: name no other workloads"))
				}
				o.Quick, o.Groups = true, nil
			}
			for _, d := range depths {
				n, err := strconv.Atoi(d)
				if err != nil {
					return usage(fmt.Errorf("--depth %q is no number of layers", d))
				}
				o.Depths = append(o.Depths, n)
			}
			if cmd.Flags().Changed("runs") && o.Runs == 0 {
				return usage(fmt.Errorf("--runs 0: there must be at least 1"))
			}
			if cmd.Flags().Changed("time") && o.Time <= 0 {
				return usage(fmt.Errorf("--time %v: there must be some", o.Time))
			}
			if err := o.Check(); err != nil {
				return usage(err)
			}
			var before *bench.Report
			if compare != "" { // before the minutes, not after
				if before, err = bench.ReadReport(compare); err != nil {
					return hint.With(err, "say the "+benchJSON+" of an earlier cfs bench")
				}
			}
			if out, err = filepath.Abs(out); err != nil {
				return err
			}
			if err := os.MkdirAll(out, 0o755); err != nil { // before the minutes, too
				return err
			}
			defer func() {
				if err != nil {
					_ = os.Remove(out) // if nothing is in it
				}
			}()
			o.Progress = t.err
			r, err := contest.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := writeBench(out, r); err != nil {
				return err
			}
			if asJSON {
				b, err := r.JSON()
				if err == nil {
					_, err = t.out.Write(b)
				}
				return err
			}
			if err := contest.Print(t.out, r, t.width()); err != nil {
				return err
			}
			if before != nil {
				if err := contest.PrintChanges(t.out, before, r); err != nil {
					return err
				}
			}
			t.note("%s", filepath.Join(out, benchPage))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&drivers, "driver", nil, "measure these drivers only, `NAME,...` or all (default all)")
	f.StringVar(&o.Image, "image", "", "read the tree of the image `NAME`, instead of one that is made")
	f.StringVar(&o.Tree, "tree", "", "read the tree of the directory `DIR`, instead of one that is made")
	f.StringSliceVar(&workloads, "workload", nil, "measure these kinds of workloads only, `KIND,...`, quick, or all (default all)")
	f.StringSliceVar(&depths, "depth", nil, "measure with stacks of `N,...` layers (default 1,10,50,100; quick: 1,50)")
	f.StringVar(&o.Size, "size", "", "how much there is to do: `SIZE` is tiny (to try it), small, medium or large (default medium; quick: small)")
	f.IntVar(&o.Runs, "runs", 0, "measure at most `N` rounds; fewer than 6 can't show a difference (default 25; quick: 9)")
	f.DurationVar(&o.Time, "time", 0, "do as many rounds as there is time for in `TIME`, or a tenth more rather than leave work out (default 12m; quick: 100s; with --size large it takes its time)")
	f.BoolVar(&o.NoCold, "no-cold", false, "leave the kernel's caches alone, and measure nothing cold")
	f.StringVar(&out, "out", "cfs-bench", "leave the page and the figures in `DIR`")
	f.StringVar(&compare, "compare", "", "tell what has changed since an earlier `report.json`")
	f.BoolVar(&asJSON, "json", false, "print the figures as a JSON object, instead of the table")
	return cmd
}

// chosen is a list of names; none if all is among them.
func chosen(names []string) []string {
	if slices.Contains(names, "all") {
		return nil
	}
	return names
}

// writeBench leaves a report's two files in a directory.
func writeBench(dir string, r *bench.Report) error {
	html, err := page.HTML(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, benchPage), html, 0o644); err != nil {
		return err
	}
	return r.WriteJSON(filepath.Join(dir, benchJSON))
}

// width is the terminal's, in columns; 0 if the output is none.
func (t *terminal) width() int {
	if f, ok := t.out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			return w
		}
	}
	return 0
}

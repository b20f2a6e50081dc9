package contest

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	units "github.com/docker/go-units"

	"github.com/cfs-project/cfs/bench"
)

// Value is a median for people: a time or a size.
func Value(v int64, unit string) string {
	if unit == bench.UnitBytes {
		return units.BytesSize(float64(v))
	}
	d := time.Duration(v)
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if d >= u.unit {
			x := float64(d) / float64(u.unit)
			switch {
			case x < 10:
				return fmt.Sprintf("%.2f%s", x, u.name)
			case x < 100:
				return fmt.Sprintf("%.1f%s", x, u.name)
			}
			return fmt.Sprintf("%.0f%s", x, u.name)
		}
	}
	return fmt.Sprintf("%dns", v)
}

// Spread is how far a result's interval reaches from the median, in per cent.
func Spread(x bench.Result) float64 {
	if x.Median == 0 {
		return 0
	}
	return 100 * float64(max(x.Interval[1]-x.Median, x.Median-x.Interval[0])) / float64(x.Median)
}

// Columns are the contestants that have results, in a report's order.
func Columns(r *bench.Report) []string {
	has := map[string]bool{}
	for _, x := range r.Results {
		has[x.Contestant] = true
	}
	var all []string
	for _, e := range r.Contestants {
		if has[e.Name] {
			all = append(all, e.Name)
		}
	}
	return all
}

// Print prints a report for people: a line for each workload, with the median and its
// spread for each contestant, the verdicts, and the conditions. Width is that of the
// terminal in columns; 0 is no bound.
func Print(w io.Writer, r *bench.Report, width int) error {
	for columns := Columns(r); len(columns) > 0; {
		n := fitting(r, columns, width)
		if err := printTable(w, r, columns[:n]); err != nil {
			return err
		}
		columns = columns[n:]
	}
	for _, e := range r.Contestants {
		switch {
		case !e.Usable:
			fmt.Fprintf(w, "%s is not measured: %s\n", e.Name, e.Reason)
			if e.Hint != "" {
				fmt.Fprintf(w, "  → %s\n", e.Hint)
			}
		case e.Note != "":
			fmt.Fprintf(w, "%s: %s\n", e.Name, e.Note)
		}
	}
	for _, s := range Failures(r) {
		fmt.Fprintf(w, "%s: no “%s”: %s\n", s.Contestant, s.Workload, s.Reason)
	}
	fmt.Fprintf(w, "\n")
	for _, v := range r.Verdicts {
		fmt.Fprintf(w, "%s: %s\n", strings.ToUpper(v.Use), v.Text)
	}
	fmt.Fprintf(w, "\n%s\n", strings.Join(Conditions(r), "\n"))
	for _, n := range append(Cached(r), r.Notes...) {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	return nil
}

// gap is between the columns of the table, in characters.
const gap = 2

// fitting is how many of the contestants have room beside each other; there is one at least.
func fitting(r *bench.Report, columns []string, width int) int {
	if width <= 0 {
		return len(columns)
	}
	used := 0
	for _, l := range r.Workloads {
		used = max(used, utf8.RuneCountInString(lineName(l))+gap)
	}
	for i, c := range columns {
		cell := utf8.RuneCountInString(c)
		for _, l := range r.Workloads {
			cell = max(cell, utf8.RuneCountInString(cellText(r, l, c)))
		}
		if used += cell + gap; used-gap > width {
			return max(1, i)
		}
	}
	return len(columns)
}

func lineName(l bench.Line) string { return "  " + l.Name }

// cellText is a contestant's result in a line of the table.
func cellText(r *bench.Report, l bench.Line, contestant string) string {
	x, ok := r.Result(l.Name, contestant)
	switch {
	case !ok:
		return "-"
	case x.Cached:
		return Value(x.Median, x.Unit) + " cached"
	case len(x.Samples) > 1:
		return fmt.Sprintf("%s ±%.0f%%", Value(x.Median, x.Unit), Spread(x))
	}
	return Value(x.Median, x.Unit)
}

func printTable(w io.Writer, r *bench.Report, columns []string) error {
	t := tabwriter.NewWriter(w, 0, 0, gap, ' ', 0)
	group := ""
	for _, l := range r.Workloads {
		if l.Group != group {
			group = l.Group
			fmt.Fprintf(t, "%s\t%s\n", strings.ToUpper(group), strings.Join(columns, "\t"))
		}
		cells := []string{lineName(l)}
		for _, c := range columns {
			cells = append(cells, cellText(r, l, c))
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// Cached says of results that should have been cold why they mean little.
func Cached(r *bench.Report) (all []string) {
	for _, x := range r.Results {
		if x.Cached && x.FromDevice != nil {
			all = append(all, fmt.Sprintf("“%s” of %s was not cold: only %s came from the disk meanwhile; no verdict counts it", x.Workload, x.Contestant, units.BytesSize(float64(*x.FromDevice))))
		}
	}
	return all
}

// Failures are the results that there might have been.
func Failures(r *bench.Report) []bench.Skip {
	var all []bench.Skip
	for _, s := range r.Skipped {
		if !s.ByNature {
			all = append(all, s)
		}
	}
	return all
}

// Conditions are a report's, in sentences.
func Conditions(r *bench.Report) []string {
	c := r.Conditions
	all := []string{
		fmt.Sprintf("cfs %s, kernel %s, %d × %s, %s of memory", c.Version, c.Kernel, c.CPUs, c.CPU, units.BytesSize(float64(c.MemoryMiB<<20))),
		fmt.Sprintf("store on %s; %s; as %s", c.Filesystem, c.Tree, c.User),
		"caches: " + c.Cache,
		fmt.Sprintf("medians of up to %d rounds, contestants taking turns, fewer where there was no time or the median was known to 4 %%; ± is how far the median's interval of 95 %% reaches (of all samples, where they are fewer than 6)", c.Rounds),
	}
	if c.Noise != nil {
		all = append(all, c.Noise.String())
	}
	if c.Started != nil {
		all = append(all, fmt.Sprintf("begun %s, took %v", c.Started.Format("2006-01-02 15:04:05 UTC"), time.Duration(c.Seconds)*time.Second))
	}
	return all
}

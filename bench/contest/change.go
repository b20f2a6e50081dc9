package contest

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/cfs-project/cfs/bench"
)

// A Change is how a result differs from that of an earlier report.
type Change struct {
	Workload, Contestant string
	Old, New             bench.Result
	Ratio                float64 // of the medians, new in old
	// P is that of [bench.Differ], adjusted for how many results are compared: see
	// [bench.Adjust]; 1 where nothing is left to chance.
	P           float64
	Significant bool
}

// What makes a change significant, besides intervals that don't overlap.
const (
	maxP      = 0.05 // of the changes that are told, so many may be none
	minChange = 0.05 // of the median; more on a noisy host
)

// Changes compares every result that both reports have. A change is significant when
//
//   - the Mann–Whitney test says so, with Benjamini's and Hochberg's correction: of the
//     changes that are told, one in twenty may be chance;
//   - the intervals of both medians don't overlap;
//   - the medians are further apart than 5 %, or than what the same computation's times were
//     on either host;
//   - and by so much further than those of the native directory and the kernel's overlay,
//     which cfs has no part in: where they changed, it was the host.
//
// Sizes, which are measured once, are when they are further apart than 5 %. What took next to
// no time on either is left out: for who has nothing to do, the clock alone was measured.
func Changes(before, now *bench.Report) []Change {
	threshold := minChange
	for _, r := range []*bench.Report{before, now} {
		if n := r.Conditions.Noise; n != nil {
			threshold = max(threshold, n.Spin/100)
		}
	}
	var all []Change
	var chances []float64
	for _, x := range now.Results {
		old, ok := before.Result(x.Workload, x.Contestant)
		if !ok || old.Unit != x.Unit || old.Median == 0 || x.Median == 0 || old.Cached != x.Cached {
			continue
		}
		if x.Unit != bench.UnitBytes && max(old.Median, x.Median) < int64(nothing) {
			continue
		}
		all = append(all, Change{Workload: x.Workload, Contestant: x.Contestant, Old: old, New: x, Ratio: float64(x.Median) / float64(old.Median), P: 1})
		if !all[len(all)-1].once() {
			chances = append(chances, bench.Differ(old.Samples, x.Samples))
		}
	}
	chances = bench.Adjust(chances)
	for i := range all {
		c := &all[i]
		far := beyond(c.Ratio, hostsOwn(all, now, *c), threshold)
		if c.once() {
			c.Significant = far
			continue
		}
		c.P, chances = chances[0], chances[1:]
		apart := c.New.Interval[0] > c.Old.Interval[1] || c.New.Interval[1] < c.Old.Interval[0]
		c.Significant = far && apart && c.P < maxP
	}
	return all
}

// nothing is a time that no work takes: of some calls of the kernel.
const nothing = 10 * time.Microsecond

// once tells whether it is of a size that was measured once.
func (c Change) once() bool {
	return len(c.Old.Samples) == 1 && len(c.New.Samples) == 1 && c.New.Unit == bench.UnitBytes
}

// hostsOwn are the ratios of a line that are not those of a contestant, but of the host.
func hostsOwn(all []Change, r *bench.Report, c Change) []float64 {
	ratios := []float64{1}
	own := func(name string) bool {
		return slices.ContainsFunc(r.Contestants, func(e bench.Entrant) bool {
			return e.Name == name && (e.Kind == bench.Limit || e.Kind == bench.Reference)
		})
	}
	if own(c.Contestant) {
		return ratios
	}
	for _, x := range all {
		if x.Workload == c.Workload && own(x.Contestant) {
			ratios = append(ratios, x.Ratio)
		}
	}
	return ratios
}

// beyond tells whether a ratio is larger than all others by a part, or smaller: as many
// times more as less.
func beyond(ratio float64, others []float64, part float64) bool {
	return ratio > slices.Max(others)*(1+part) || ratio < slices.Min(others)/(1+part)
}

// Word is what happened to it.
func (c Change) Word() string {
	words := [2]string{"faster", "slower"}
	if c.New.Unit == bench.UnitBytes {
		words = [2]string{"smaller", "larger"}
	}
	switch {
	case !c.Significant:
		return "the same"
	case c.Ratio > 1:
		return words[1]
	}
	return words[0]
}

// PrintChanges prints those that are significant, and says how many are not.
func PrintChanges(w io.Writer, before, now *bench.Report) error {
	all := Changes(before, now)
	when := "the earlier report"
	if t := before.Conditions.Started; t != nil {
		when = t.Format("2006-01-02 15:04:05 UTC")
	}
	fmt.Fprintf(w, "\nCOMPARED WITH %s\n", when)
	if d := differs(before.Conditions, now.Conditions); d != "" {
		fmt.Fprintf(w, "the conditions were others: %s\n", d)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	same := 0
	for _, c := range all {
		if !c.Significant {
			same++
			continue
		}
		chance := "measured once"
		if len(c.New.Samples) > 1 {
			chance = fmt.Sprintf("p = %.4f", c.P)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s → %s\t%.2f\t%s\n", c.Workload, c.Contestant, c.Word(), Value(c.Old.Median, c.Old.Unit), Value(c.New.Median, c.New.Unit), c.Ratio, chance)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d of %d results have not changed significantly\n", same, len(all))
	return err
}

// differs says in what two reports can't be compared.
func differs(a, b bench.Conditions) string {
	var out string
	for _, x := range []struct{ what, old, new string }{
		{"kernel", a.Kernel, b.Kernel}, {"CPU", a.CPU, b.CPU}, {"filesystem", a.Filesystem, b.Filesystem}, {"tree", a.Tree, b.Tree},
		{"user", a.User, b.User}, {"cfs", a.Version, b.Version},
	} {
		if x.old != x.new {
			if out != "" {
				out += "; "
			}
			out += fmt.Sprintf("%s %s, now %s", x.what, x.old, x.new)
		}
	}
	return out
}

package contest

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/cfs-project/cfs/bench"
)

// A Change is how a result differs from that of an earlier report.
type Change struct {
	Workload, Contestant string
	Old, New             bench.Result
	Ratio                float64 // of the medians, new in old
	P                    float64 // see [bench.Differ]; 1 where nothing is left to chance
	Significant          bool
}

// What makes a change significant, besides intervals that don't overlap.
const (
	maxP      = 0.01
	minChange = 0.05 // of the median; more on a noisy host
)

// Changes compares every result that both reports have. A change is significant when
// the Mann–Whitney test gives chance less than one in a hundred, the intervals of
// both medians don't overlap, and the medians are further apart than 5 %, or than what
// the same computation's times were on either host. Sizes, which are measured once, are
// when they are further apart than that.
func Changes(before, now *bench.Report) []Change {
	threshold := minChange
	for _, r := range []*bench.Report{before, now} {
		if n := r.Conditions.Noise; n != nil {
			threshold = max(threshold, n.Spin/100)
		}
	}
	var all []Change
	for _, x := range now.Results {
		old, ok := before.Result(x.Workload, x.Contestant)
		if !ok || old.Unit != x.Unit || old.Median == 0 {
			continue
		}
		c := Change{Workload: x.Workload, Contestant: x.Contestant, Old: old, New: x, Ratio: float64(x.Median) / float64(old.Median)}
		c.P = bench.Differ(old.Samples, x.Samples)
		apart := x.Interval[0] > old.Interval[1] || x.Interval[1] < old.Interval[0]
		// As many times more as less.
		far := math.Abs(math.Log(c.Ratio)) > math.Log(1+threshold)
		if once := len(old.Samples) == 1 && len(x.Samples) == 1 && x.Unit == bench.UnitBytes; once {
			c.P = 1
			c.Significant = far
		} else {
			c.Significant = far && apart && c.P < maxP
		}
		all = append(all, c)
	}
	return all
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

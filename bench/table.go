package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteRows prints a report of rows, a line each: the medians of the contestants,
// the ratio that is judged with its target beside it, and the requests a file.
func (r *Report) WriteRows(w io.Writer, judged string, contestants ...string) error {
	fmt.Fprintf(w, "%s\n%s\n", r.Name, r.Conditions)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "ROW\tOPS\t%s\tRATIO\tTARGET\t\tREQUESTS AN OP\n", strings.ToUpper(strings.Join(contestants, "\t")))
	seen := map[string]bool{}
	for _, x := range r.Results {
		if seen[x.Workload] {
			continue
		}
		seen[x.Workload] = true
		fmt.Fprintf(t, "%s\t%d\t", x.Workload, x.Ops)
		for _, c := range contestants {
			cell := "-"
			if i, ok := r.index[key{x.Workload, c}]; ok {
				cell = short(r.Results[i].Median)
				if b, ok := r.index[key{x.Workload, contestants[0]}]; ok && c != judged && c != contestants[0] {
					cell += fmt.Sprintf(" (%.2f)", r.Results[i].Samples.Ratio(r.Results[b].Samples))
				}
			}
			fmt.Fprintf(t, "%s\t", cell)
		}
		fmt.Fprintf(t, "%s\t%s\n", r.judgement(x.Workload), r.requests(x.Workload))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, c := range r.Counts {
		fmt.Fprintf(w, "%s: %d%s\n", c.What, c.Value, verdict(c.Max != nil, c.met(), func() string { return fmt.Sprintf("at most %d", *c.Max) }))
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note:", n)
	}
	return nil
}

// judgement is the ratio, the target and the verdict.
func (r *Report) judgement(workload string) string {
	for _, t := range r.Targets {
		if t.Workload != workload {
			continue
		}
		word := "MISSED"
		if t.Met {
			word = "OK"
		}
		of := ""
		if t.Base != "" {
			of = " of " + t.Base
		}
		return fmt.Sprintf("%.3f\t≤ %g%s\t%s", t.Got, t.Max, of, word)
	}
	return "-\t-\t"
}

func (r *Report) requests(workload string) string {
	for _, c := range r.Requests {
		if c.Workload != workload {
			continue
		}
		var sum int64
		var ops []string
		for op, n := range c.ByOpcode {
			sum += n
			ops = append(ops, op)
		}
		slices.SortFunc(ops, func(a, b string) int { return int(c.ByOpcode[b] - c.ByOpcode[a]) })
		s := fmt.Sprintf("%.3f", float64(sum)/float64(max(c.Ops, 1)))
		for i, op := range ops[:min(4, len(ops))] {
			s += fmt.Sprintf("%s%s %d", []string{" (", ", "}[min(i, 1)], op, c.ByOpcode[op])
		}
		if len(ops) > 0 {
			s += ")"
		}
		return s
	}
	return "-"
}

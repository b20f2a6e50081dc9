package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

// Schema is the version of a report's JSON form, which schema.json describes.
const Schema = "cfs-bench/1"

// A Report is what a benchmark found. Its JSON form is stable.
type Report struct {
	Schema      string         `json:"schema"`
	Name        string         `json:"name"`
	Conditions  Conditions     `json:"conditions"`
	Contestants []Entrant      `json:"contestants,omitempty"` // in the order of the columns
	Workloads   []Line         `json:"workloads,omitempty"`   // in the order of the lines
	Results     []Result       `json:"results"`
	Skipped     []Skip         `json:"skipped,omitempty"`
	Verdicts    []Verdict      `json:"verdicts,omitempty"`
	Counts      []Count        `json:"counts,omitempty"`
	Requests    []RequestCount `json:"requests,omitempty"`
	Targets     []Target       `json:"targets,omitempty"`
	Notes       []string       `json:"notes,omitempty"`
	index       map[key]int    // into Results
}

type key struct{ workload, contestant string }

// A Result is one workload on one contestant.
type Result struct {
	Workload   string  `json:"workload"`
	Contestant string  `json:"contestant"`
	Ops        int     `json:"ops"`            // what one sample did, in operations; 0: one
	Unit       string  `json:"unit,omitempty"` // of the samples; none: nanoseconds
	Samples    Samples `json:"samples"`
	Median     int64   `json:"median"`
	Low        int64   `json:"low"` // the smallest sample
	High       int64   `json:"high"`
	// Interval is that of [Samples.Interval], and Confidence how likely it holds the true median.
	Interval   [2]int64 `json:"interval"`
	Confidence float64  `json:"confidence"`
	// FromDevice is the median of the bytes that were read from the disk meanwhile, by anybody;
	// of what is measured cold, where it can be told.
	FromDevice *int64 `json:"from_device,omitempty"`
	// Cached tells that it should have been cold and was not: much of what it read was not
	// read from the disk.
	Cached bool `json:"cached,omitempty"`
}

// UnitBytes is the unit of what is not a time.
const UnitBytes = "bytes"

// A Skip is a result that there is not, and why.
type Skip struct {
	Workload   string `json:"workload"`
	Contestant string `json:"contestant"`
	Reason     string `json:"reason"`
	ByNature   bool   `json:"by_nature,omitempty"` // it can't be, anywhere
}

// A Count is a number that is not a time.
type Count struct {
	What  string `json:"what"`
	Value int64  `json:"value"`
	Max   *int64 `json:"max,omitempty"` // must not be exceeded, if given
}

// A RequestCount is what the kernel asked of a server in one run of a workload.
type RequestCount struct {
	Workload   string           `json:"workload"`
	Contestant string           `json:"contestant"`
	Ops        int              `json:"ops"`
	ByOpcode   map[string]int64 `json:"by_opcode"` // names of linux/fuse.h
}

// A Target is a ratio of medians and what it must not exceed; or, with
// Difference, a difference of medians; or, with Most, the median itself.
type Target struct {
	Workload   string        `json:"workload"`
	Contestant string        `json:"contestant"`
	Against    string        `json:"against,omitempty"` // none: see Most
	Base       string        `json:"base,omitempty"`    // workload of Against, if it is another
	Max        float64       `json:"max_ratio,omitempty"`
	Difference time.Duration `json:"max_difference_ns,omitempty"`
	Most       time.Duration `json:"max_ns,omitempty"`
	Got        float64       `json:"ratio"`
	GotDiff    time.Duration `json:"difference_ns"`
	Met        bool          `json:"met"`
}

// Add puts durations into the report.
func (r *Report) Add(workload string, ops int, samples map[string]Samples, order ...string) {
	r.AddUnit(workload, "", ops, samples, order...)
}

// AddUnit puts samples in a unit into the report.
func (r *Report) AddUnit(workload, unit string, ops int, samples map[string]Samples, order ...string) {
	if r.index == nil {
		r.reindex()
	}
	for _, c := range order {
		s, ok := samples[c]
		if !ok {
			continue
		}
		low, high := s.Spread()
		from, to, sure := s.Interval()
		r.index[key{workload, c}] = len(r.Results)
		r.Results = append(r.Results, Result{
			Workload: workload, Contestant: c, Ops: ops, Unit: unit, Samples: s, Median: int64(s.Median()), Low: int64(low), High: int64(high),
			Interval: [2]int64{int64(from), int64(to)}, Confidence: sure,
		})
	}
}

// Result is what a workload came to on a contestant.
func (r *Report) Result(workload, contestant string) (Result, bool) {
	if r.index == nil { // it was read
		r.reindex()
	}
	i, ok := r.index[key{workload, contestant}]
	if !ok {
		return Result{}, false
	}
	return r.Results[i], true
}

// reindex makes the index.
func (r *Report) reindex() {
	r.index = map[key]int{}
	for i, x := range r.Results {
		r.index[key{x.Workload, x.Contestant}] = i
	}
}

// Append takes the results of another report in.
func (r *Report) Append(o *Report) {
	r.Results = append(r.Results, o.Results...)
	r.Skipped = append(r.Skipped, o.Skipped...)
	r.Notes = append(r.Notes, o.Notes...)
	r.index = nil
}

// Judge adds a target with what was measured. A target whose contestants were
// not measured is left out and noted.
func (r *Report) Judge(t Target) {
	a, okA := r.index[key{t.Workload, t.Contestant}]
	if t.Most > 0 && okA {
		t.Met = r.Results[a].Samples.Median() <= t.Most
		r.Targets = append(r.Targets, t)
		return
	}
	base := t.Workload
	if t.Base != "" {
		base = t.Base
	}
	b, okB := r.index[key{base, t.Against}]
	if !okA || !okB {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: %s against %s was not measured", t.Workload, t.Contestant, t.Against))
		return
	}
	sa, sb := r.Results[a].Samples, r.Results[b].Samples
	t.Got, t.GotDiff = sa.Ratio(sb), sa.Median()-sb.Median()
	if t.Difference > 0 {
		t.Met = t.GotDiff < t.Difference
	} else {
		t.Met = t.Got <= t.Max
	}
	r.Targets = append(r.Targets, t)
}

// Met tells whether every target and every count was.
func (r *Report) Met() bool {
	for _, t := range r.Targets {
		if !t.Met {
			return false
		}
	}
	for _, c := range r.Counts {
		if !c.met() {
			return false
		}
	}
	return true
}

func (c Count) met() bool { return c.Max == nil || c.Value <= *c.Max }

// Write prints the report as tables. base is the contestant whose medians the
// ratios of the last column are in.
func (r *Report) Write(w io.Writer, base string) error {
	fmt.Fprintf(w, "%s\n%s\n", r.Name, r.Conditions)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "WORKLOAD\tCONTESTANT\tMEDIAN\tLOW\tHIGH\tPER OP\tRATIO TO %s\n", base)
	for _, x := range r.Results {
		ratio := "-"
		if i, ok := r.index[key{x.Workload, base}]; ok && x.Contestant != base {
			ratio = fmt.Sprintf("%.2f", x.Samples.Ratio(r.Results[i].Samples))
		}
		per := "-"
		if x.Ops > 0 {
			per = time.Duration(x.Median / int64(x.Ops)).String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", x.Workload, x.Contestant, short(x.Median), short(x.Low), short(x.High), per, ratio)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, c := range r.Counts {
		fmt.Fprintf(w, "count: %s: %d%s\n", c.What, c.Value, verdict(c.Max != nil, c.met(), func() string { return fmt.Sprintf("at most %d", *c.Max) }))
	}
	for _, x := range r.Targets {
		if x.Most > 0 {
			fmt.Fprintf(w, "target: %s: %s%s\n", x.Workload, x.Contestant, verdict(true, x.Met, func() string { return "at most " + x.Most.String() }))
			continue
		}
		if x.Difference > 0 {
			fmt.Fprintf(w, "target: %s: %s is %s more than %s%s\n", x.Workload, x.Contestant, x.GotDiff.Round(time.Microsecond), x.Against,
				verdict(true, x.Met, func() string { return "less than " + x.Difference.String() }))
			continue
		}
		fmt.Fprintf(w, "target: %s: %s is %.2f of %s%s\n", x.Workload, x.Contestant, x.Got, x.Against,
			verdict(true, x.Met, func() string { return fmt.Sprintf("at most %.2f", x.Max) }))
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note:", n)
	}
	return nil
}

func verdict(judged, met bool, bound func() string) string {
	switch {
	case !judged:
		return ""
	case met:
		return fmt.Sprintf(" (%s): met", bound())
	}
	return fmt.Sprintf(" (%s): MISSED", bound())
}

// JSON is the report's JSON form.
func (r *Report) JSON() ([]byte, error) {
	r.Schema = Schema
	if r.Results == nil {
		r.Results = []Result{}
	}
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

// WriteJSON writes the report to a file.
func (r *Report) WriteJSON(path string) error {
	b, err := r.JSON()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// ReadReport reads what WriteJSON wrote.
func ReadReport(path string) (*Report, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s is no benchmark's report: %w", path, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%s is no benchmark's report of the form %s (\"schema\" is %q)", path, Schema, r.Schema)
	}
	return r, nil
}

// short is a duration with about four digits.
func short(ns int64) string {
	d := time.Duration(ns)
	switch {
	case d > 10*time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d > 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(10 * time.Nanosecond).String()
}

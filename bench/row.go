package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// A State is what a row's samples begin with.
type State int

// The states.
const (
	Warm  State = iota // mounted for all rounds; everything ran once unmeasured
	Fresh              // an empty upper and a new mount every time, after an unmeasured one; lowers warm
	Cold               // the same with the kernel's caches dropped before mounting
)

func (s State) String() string { return [...]string{"warm", "new mount", "cold"}[s] }

// A Row is measured as a whole: its steps follow each other on one mount.
type Row struct {
	Group   string // of lines that belong together; may be empty
	Quick   bool   // in the shortest choice of rows
	Depth   int    // layers, where that is what rows differ in
	Fixture string
	State   State
	Writes  bool                // something is changed
	Anew    bool                // a container is made for every sample, although nothing is changed
	Prepare func(s *Site) error // outside of the time; may be nil
	Steps   []Step
	// Life is the name of a line of its own, for what making, mounting, unmounting
	// and removing takes; may be empty. Only what is not warm has it.
	Life string
	// Drivers tells that only cfs's drivers that keep changes can do it.
	Drivers bool
}

// Lines are what the row puts into a report.
func (r Row) Lines() []Line {
	var all []Line
	for _, st := range r.Steps {
		l := Line{Name: st.Name, Group: r.Group, About: st.About, State: r.State.String(), Unit: st.Unit, Series: st.Series}
		if st.Series != "" {
			l.Depth = r.Depth
		}
		all = append(all, l)
	}
	if r.Life != "" {
		all = append(all, Line{Name: r.Life, Group: "start", State: r.State.String(),
			About: "making a writable container on the image, mounting, unmounting and removing it, with a driver's process started for each"})
	}
	return all
}

// A Step is one line of the report.
type Step struct {
	Name string
	// About is what is done, in a sentence; may be empty.
	About string
	// Series is of steps that differ in their row's depth only.
	Series string
	// Unit is what samples are in; empty: nanoseconds.
	Unit string
	// Max is what the median may be of that of the kernel's overlay; 0: no target.
	Max float64
	// Base is the step of the same contestant that is compared with instead.
	Base string
	// Reads is how many bytes it reads at least that are on the disk when it begins cold;
	// may be nil.
	Reads func(s *Site) int64
	Run   func(s *Site) (Sample, error)
}

// A Sample is what one run took, and how many operations it was.
type Sample struct {
	Took time.Duration
	Ops  int
}

// A Site is where a step runs.
type Site struct {
	Contestant Contestant
	Root       string        // where the contestant is mounted
	Mounted    time.Duration // what making and mounting it took, without the start of a process of cfs
	Paths      Paths         // of the fixture
	Fixtures   *Fixtures     // which have what lies outside of what is measured
	Sizes      Sizes
}

// A Spacer is a contestant that knows what it takes on the disk. Found by type assertion.
type Spacer interface {
	// Used is that in bytes.
	Used() (int64, error)
}

// A MountTimer is a contestant that knows better than its caller what mounting takes.
// Found by type assertion.
type MountTimer interface {
	// MountTook is what making and mounting took last.
	MountTook() time.Duration
}

// Bench measures rows.
type Bench struct {
	Contestants []Contestant // the kernel's overlay among them
	Fixtures    *Fixtures
	Rounds      Rounds
	Report      *Report
	// Skip tells why a contestant doesn't take part in a row; empty: it does. Nil:
	// all take part.
	Skip func(c Contestant, row Row) string
	// Lenient has a contestant that fails in a row left out of it, and the report say
	// so. Otherwise it ends the benchmark.
	Lenient bool
	// Counted tells which contestant's requests are counted; empty: nobody's.
	Counted string
}

// Measure adds a row to the report.
func (b *Bench) Measure(ctx context.Context, row Row) (err error) {
	site := &Site{Sizes: b.Fixtures.Sizes, Fixtures: b.Fixtures}
	m := &rowRun{Bench: b, row: row, site: site, samples: map[string]map[string]Samples{}, device: map[string]map[string]Samples{},
		ops: map[string]int{}, out: map[string]bool{}, spent: map[string]time.Duration{}, pace: b.Rounds.Pace()}
	fixture, err := b.Fixtures.Get(ctx, row.Fixture)
	if err != nil && b.Lenient && ctx.Err() == nil { // the other rows are worth something without it
		b.Report.Notes = append(b.Report.Notes, fmt.Sprintf("“%s”: not measured: %s", row.Lines()[0].Name, strings.Join(strings.Fields(err.Error()), " ")))
		return nil
	}
	if err != nil {
		return err
	}
	for _, c := range b.Contestants {
		if b.Skip != nil {
			if why := b.Skip(c, row); why != "" {
				m.leaveOut(c, why, true)
				continue
			}
		}
		m.contestants = append(m.contestants, c)
		if err := c.Over(fixture, row.Writes); err != nil {
			return err
		}
	}
	if len(m.contestants) == 0 {
		return nil
	}
	if err := m.listPaths(ctx, fixture); err != nil {
		return err
	}
	if row.State == Warm {
		err = m.warm(ctx)
	} else {
		err = m.fresh(ctx)
	}
	if err != nil {
		return err
	}
	m.report()
	return nil
}

// Judge adds the targets of a row to the report, of one contestant against another.
func (b *Bench) Judge(row Row, judged, reference string) {
	for _, s := range row.Steps {
		t := Target{Workload: s.Name, Contestant: judged, Against: reference, Base: s.Base, Max: s.Max}
		if s.Base != "" {
			t.Against = judged
		}
		if s.Max > 0 {
			b.Report.Judge(t)
		}
	}
}

// Matches tells whether any step's name contains s.
func (r Row) Matches(s string) bool {
	for _, st := range r.Steps {
		if strings.Contains(st.Name, s) {
			return true
		}
	}
	return false
}

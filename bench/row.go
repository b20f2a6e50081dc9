package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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
	Run  func(s *Site) (Sample, error)
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
	fixture, err := b.Fixtures.Get(ctx, row.Fixture)
	if err != nil {
		return err
	}
	site := &Site{Sizes: b.Fixtures.Sizes, Fixtures: b.Fixtures}
	m := &rowRun{Bench: b, row: row, site: site, samples: map[string]map[string]Samples{}, ops: map[string]int{}, out: map[string]bool{}}
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

type rowRun struct {
	*Bench
	contestants []Contestant // that take part
	row         Row
	site        *Site
	samples     map[string]map[string]Samples // by step and contestant
	ops         map[string]int
	out         map[string]bool // who failed
	began       time.Time       // of the rounds
}

func (m *rowRun) report() {
	var order []string
	for _, c := range m.contestants {
		if !m.out[c.Name()] {
			order = append(order, c.Name())
		}
	}
	for _, st := range m.row.Steps {
		m.Report.AddUnit(st.Name, st.Unit, m.ops[st.Name], m.samples[st.Name], order...)
	}
	if m.row.Life != "" {
		m.Report.Add(m.row.Life, 1, m.samples[m.row.Life], order...)
	}
}

// leaveOut notes why a contestant has no result.
func (m *rowRun) leaveOut(c Contestant, why string, byNature bool) {
	m.out[c.Name()] = true
	for _, l := range m.row.Lines() {
		m.Report.Skipped = append(m.Report.Skipped, Skip{l.Name, c.Name(), why, byNature})
	}
}

// failed decides what an error of a contestant is: nil if it is left out from now on.
func (m *rowRun) failed(ctx context.Context, c Contestant, err error) error {
	if err == nil || !m.Lenient || ctx.Err() != nil {
		return err
	}
	m.leaveOut(c, strings.Join(strings.Fields(err.Error()), " "), false)
	return nil
}

// listPaths walks the merged tree, once a fixture, as the first contestant shows it.
func (m *rowRun) listPaths(ctx context.Context, f Fixture) (err error) {
	if f.Paths.All == nil && f.Name != FixtureBig && f.Name != FixtureEmpty {
		if f.Merged != "" {
			f.Paths, err = ListPaths(f.Merged)
		} else {
			c := m.contestants[0]
			var root string
			if root, err = c.Mount(ctx); err != nil {
				return err
			}
			f.Paths, err = ListPaths(root)
			err = errors.Join(err, c.Unmount(), c.Discard())
		}
		if err != nil {
			return err
		}
		m.Fixtures.Put(f)
	}
	m.site.Paths = f.Paths
	return nil
}

// more tells whether round r is to be measured.
func (m *rowRun) more(r int) bool {
	if r <= 0 {
		m.began = time.Now()
	}
	return m.Rounds.more(r, m.began)
}

// steps runs every step on a mounted contestant.
func (m *rowRun) steps(c Contestant, root string, keep bool) error {
	m.site.Root, m.site.Contestant = root, c
	if m.row.Prepare != nil {
		if err := m.row.Prepare(m.site); err != nil {
			return fmt.Errorf("%s: prepare %s: %w", c.Name(), m.row.Steps[0].Name, err)
		}
	}
	for _, st := range m.row.Steps {
		if m.row.State != Warm && m.row.Writes {
			// What was written before is not this step's cost. What lies below a union
			// is where the fixtures are.
			if err := writeOut(root, m.Fixtures.dir); err != nil {
				return err
			}
		}
		runtime.GC()
		s, err := st.Run(m.site)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", c.Name(), st.Name, err)
		}
		if keep {
			m.keep(st.Name, c, s)
		}
	}
	return nil
}

func (m *rowRun) keep(line string, c Contestant, s Sample) {
	if m.samples[line] == nil {
		m.samples[line] = map[string]Samples{}
	}
	m.samples[line][c.Name()] = append(m.samples[line][c.Name()], s.Took)
	m.ops[line] = s.Ops
}

func (m *rowRun) warm(ctx context.Context) (err error) {
	roots := make([]string, len(m.contestants))
	for i, c := range m.contestants {
		if roots[i], err = c.Mount(ctx); err == nil {
			defer func() { err = errors.Join(err, c.Unmount(), c.Discard()) }()
			err = m.steps(c, roots[i], false)
		}
		if err = m.failed(ctx, c, err); err != nil {
			return err
		}
	}
	for r := 0; m.more(r); r++ {
		for i := range m.contestants {
			if err := ctx.Err(); err != nil {
				return err
			}
			j := (i + r) % len(m.contestants)
			c := m.contestants[j]
			if m.out[c.Name()] {
				continue
			}
			if err := m.failed(ctx, c, m.steps(c, roots[j], true)); err != nil {
				return err
			}
		}
	}
	for i, c := range m.contestants {
		if err := m.count(c, roots[i]); err != nil {
			return err
		}
	}
	return nil
}

func (m *rowRun) fresh(ctx context.Context) error {
	first := 0 // the unmeasured round
	if m.row.State == Fresh {
		first = -1
	}
	for r := first; m.more(r); r++ {
		for i := range m.contestants {
			c := m.contestants[(i+r+1)%len(m.contestants)]
			if m.out[c.Name()] {
				continue
			}
			if err := m.failed(ctx, c, m.once(ctx, c, r >= 0, func(root string) error { return m.steps(c, root, r >= 0) })); err != nil {
				return err
			}
		}
	}
	for _, c := range m.contestants {
		if c.Name() != m.Counted {
			continue
		}
		if err := m.once(ctx, c, false, func(root string) error { return m.count(c, root) }); err != nil {
			return err
		}
	}
	return nil
}

// once does something to a new mount of a contestant.
func (m *rowRun) once(ctx context.Context, c Contestant, keep bool, do func(root string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.row.State == Cold {
		if err := DropCaches(m.Fixtures.dir); err != nil {
			return err
		}
	}
	start := time.Now()
	root, err := c.Mount(ctx)
	mounting := time.Since(start)
	if m.site.Mounted = mounting; err == nil {
		if t, ok := c.(MountTimer); ok {
			m.site.Mounted = t.MountTook()
		}
	}
	if err != nil {
		return errors.Join(err, c.Discard())
	}
	err = do(root)
	start = time.Now()
	err = errors.Join(err, c.Unmount(), c.Discard())
	if m.row.Life != "" && keep && err == nil {
		m.keep(m.row.Life, c, Sample{mounting + time.Since(start), 1})
	}
	return err
}

// count runs the steps once more, untimed, and records the server's requests.
func (m *rowRun) count(c Contestant, root string) error {
	if c.Name() != m.Counted {
		return nil
	}
	m.site.Root, m.site.Contestant = root, c
	if m.row.Prepare != nil {
		if err := m.row.Prepare(m.site); err != nil {
			return err
		}
	}
	for _, st := range m.row.Steps {
		r, err := CountRequests(root)
		if err != nil {
			m.Report.Notes = append(m.Report.Notes, "requests can't be counted here: "+err.Error())
			m.Counted = ""
			return nil
		}
		s, err := st.Run(m.site)
		by, err2 := r.Stop()
		if err := errors.Join(err, err2); err != nil {
			return fmt.Errorf("%s: count requests of %s: %w", c.Name(), st.Name, err)
		}
		m.Report.Requests = append(m.Report.Requests, RequestCount{st.Name, c.Name(), s.Ops, by})
	}
	return nil
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

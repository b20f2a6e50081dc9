package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A State is what a row's samples begin with.
type State int

// The states.
const (
	Warm  State = iota // mounted for all rounds; everything ran once unmeasured
	Fresh              // an empty upper and a new mount every time, after an unmeasured one; lowers warm
	Cold               // the same with the kernel's caches dropped before mounting
)

// A Row is measured as a whole: its steps follow each other on one mount.
type Row struct {
	Fixture string
	State   State
	Prepare func(s *Site) error // outside of the time; may be nil
	Steps   []Step
}

// A Step is one line of the report.
type Step struct {
	Name string
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
	Root    string // where the contestant is mounted
	Paths   Paths  // of the fixture
	Archive string // tar of small files, outside of what is measured
	Sizes   Sizes
}

// Bench measures rows.
type Bench struct {
	Contestants []Contestant // the kernel's overlay among them
	Stacks      map[string]*Stack
	Fixtures    *Fixtures
	Rounds      int
	// Budget is the time that the rounds of a row may take before they end early,
	// after minRounds; 0: no limit.
	Budget time.Duration
	Report *Report
	// Counted tells which contestant's requests are counted; empty: nobody's.
	Counted string
}

// minRounds are measured whatever they take.
const minRounds = 3

// Measure adds a row to the report.
func (b *Bench) Measure(ctx context.Context, row Row) (err error) {
	fixture, err := b.Fixtures.Get(row.Fixture)
	if err != nil {
		return err
	}
	site := &Site{Sizes: b.Fixtures.Sizes}
	if site.Archive, err = b.Fixtures.Archive(); err != nil {
		return err
	}
	for _, s := range b.Stacks {
		s.Lowers = fixture.Lowers
	}
	if err := b.listPaths(ctx, fixture, site); err != nil {
		return err
	}
	m := &rowRun{Bench: b, row: row, site: site, samples: map[string]map[string]Samples{}, ops: map[string]int{}}
	if row.State == Warm {
		err = m.warm(ctx)
	} else {
		err = m.fresh(ctx)
	}
	if err != nil {
		return err
	}
	var order []string
	for _, c := range b.Contestants {
		order = append(order, c.Name())
	}
	for _, st := range row.Steps {
		b.Report.Add(st.Name, m.ops[st.Name], m.samples[st.Name], order...)
	}
	return nil
}

// listPaths walks the merged tree, once a fixture, as the first contestant shows it.
func (b *Bench) listPaths(ctx context.Context, f Fixture, site *Site) (err error) {
	if f.Paths.All == nil && f.Name != FixtureBig && f.Name != FixtureEmpty {
		root, err := b.Contestants[0].Mount(ctx)
		if err != nil {
			return err
		}
		f.Paths, err = ListPaths(root)
		if err := errors.Join(err, b.Contestants[0].Unmount(), b.Stacks[b.Contestants[0].Name()].discard()); err != nil {
			return err
		}
		b.Fixtures.made[f.Name] = f
	}
	site.Paths = f.Paths
	return nil
}

type rowRun struct {
	*Bench
	row     Row
	site    *Site
	samples map[string]map[string]Samples // by step and contestant
	ops     map[string]int
	began   time.Time // of the rounds
}

// more tells whether round r is to be measured.
func (m *rowRun) more(r int) bool {
	if r <= 0 {
		m.began = time.Now()
	}
	return r < m.Rounds && (r < minRounds || m.Budget == 0 || time.Since(m.began) < m.Budget)
}

// steps runs every step on a mounted contestant.
func (m *rowRun) steps(c Contestant, root string, keep bool) error {
	m.site.Root = root
	if m.row.Prepare != nil {
		if err := m.row.Prepare(m.site); err != nil {
			return fmt.Errorf("%s: prepare %s: %w", c.Name(), m.row.Steps[0].Name, err)
		}
	}
	for _, st := range m.row.Steps {
		if m.row.State != Warm {
			unix.Sync() // what was written before is not this step's cost
		}
		runtime.GC()
		s, err := st.Run(m.site)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", c.Name(), st.Name, err)
		}
		if !keep {
			continue
		}
		if m.samples[st.Name] == nil {
			m.samples[st.Name] = map[string]Samples{}
		}
		m.samples[st.Name][c.Name()] = append(m.samples[st.Name][c.Name()], s.Took)
		m.ops[st.Name] = s.Ops
	}
	return nil
}

func (m *rowRun) warm(ctx context.Context) (err error) {
	roots := make([]string, len(m.Contestants))
	for i, c := range m.Contestants {
		if roots[i], err = c.Mount(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.Unmount(), m.Stacks[c.Name()].discard()) }()
		if err := m.steps(c, roots[i], false); err != nil {
			return err
		}
	}
	for r := 0; m.more(r); r++ {
		for i := range m.Contestants {
			if err := ctx.Err(); err != nil {
				return err
			}
			j := (i + r) % len(m.Contestants)
			if err := m.steps(m.Contestants[j], roots[j], true); err != nil {
				return err
			}
		}
	}
	for i, c := range m.Contestants {
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
		for i := range m.Contestants {
			c := m.Contestants[(i+r+1)%len(m.Contestants)]
			if err := m.once(ctx, c, func(root string) error { return m.steps(c, root, r >= 0) }); err != nil {
				return err
			}
		}
	}
	for _, c := range m.Contestants {
		if c.Name() != m.Counted {
			continue
		}
		if err := m.once(ctx, c, func(root string) error { return m.count(c, root) }); err != nil {
			return err
		}
	}
	return nil
}

// once does something to a new mount of a contestant.
func (m *rowRun) once(ctx context.Context, c Contestant, do func(root string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.row.State == Cold {
		if err := DropCaches(); err != nil {
			return err
		}
	}
	root, err := c.Mount(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(root), c.Unmount(), m.Stacks[c.Name()].discard())
}

// count runs the steps once more, untimed, and records the server's requests.
func (m *rowRun) count(c Contestant, root string) error {
	if c.Name() != m.Counted {
		return nil
	}
	m.site.Root = root
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

package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

type rowRun struct {
	*Bench
	contestants []Contestant // that take part
	row         Row
	site        *Site
	samples     map[string]map[string]Samples // by step and contestant
	device      map[string]map[string]Samples // what was read from the device meanwhile, in bytes
	ops         map[string]int
	out         map[string]bool          // who failed
	spent       map[string]time.Duration // by contestant, with mounting and the like
	pace        *Pace
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
		if m.row.State == Cold && st.Reads != nil {
			m.Report.checkCold(st.Name, st.Reads(m.site), m.device[st.Name])
		}
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

// rested tells whether a contestant is not measured any more: it failed, or enough is
// known of it.
func (m *rowRun) rested(c Contestant) bool {
	if m.out[c.Name()] {
		return true
	}
	var all []Samples
	for _, l := range m.row.Lines() {
		all = append(all, m.samples[l.Name][c.Name()])
	}
	return m.pace.rests(m.spent[c.Name()], all...)
}

// rest tells whether all do.
func (m *rowRun) rest() bool {
	return !slices.ContainsFunc(m.contestants, func(c Contestant) bool { return !m.rested(c) })
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
		read := m.Fixtures.device().reads()
		s, err := st.Run(m.site)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", c.Name(), st.Name, err)
		}
		if keep {
			m.keep(st.Name, c, s)
			if n, ok := read(); ok {
				note(m.device, st.Name, c, time.Duration(n))
			}
		}
	}
	return nil
}

func (m *rowRun) keep(line string, c Contestant, s Sample) {
	note(m.samples, line, c, s.Took)
	m.ops[line] = s.Ops
}

func note(all map[string]map[string]Samples, line string, c Contestant, d time.Duration) {
	if all[line] == nil {
		all[line] = map[string]Samples{}
	}
	all[line][c.Name()] = append(all[line][c.Name()], d)
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
	for !m.rest() && m.pace.More() {
		for i := range m.contestants {
			if err := ctx.Err(); err != nil {
				return err
			}
			j := (i + m.pace.Round()) % len(m.contestants)
			c := m.contestants[j]
			if m.rested(c) {
				continue
			}
			began := time.Now()
			if err := m.failed(ctx, c, m.steps(c, roots[j], true)); err != nil {
				return err
			}
			m.spent[c.Name()] += time.Since(began)
		}
	}
	for i, c := range m.contestants {
		if err := m.count(c, roots[i]); err != nil {
			return err
		}
	}
	return nil
}

func (m *rowRun) fresh(ctx context.Context) (err error) {
	for _, c := range m.contestants {
		defer func() { err = errors.Join(err, c.Discard()) }()
	}
	round := func(keep bool) error {
		for i := range m.contestants {
			c := m.contestants[(i+m.pace.Round()+1)%len(m.contestants)]
			if m.rested(c) {
				continue
			}
			began := time.Now()
			if err := m.failed(ctx, c, m.once(ctx, c, keep, func(root string) error { return m.steps(c, root, keep) })); err != nil {
				return err
			}
			m.spent[c.Name()] += time.Since(began)
		}
		return nil
	}
	if m.row.State == Fresh {
		if m.pace.Between != nil {
			m.pace.Between()
		}
		if err := round(false); err != nil {
			return err
		}
	}
	for !m.rest() && m.pace.More() {
		if err := round(true); err != nil {
			return err
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
	if m.row.State == Cold {
		// What mounting read, and what it wrote, as a driver does that copies an image.
		err = DropCaches(m.Fixtures.dir, root)
	}
	if err == nil {
		err = do(root)
	}
	start = time.Now()
	err = errors.Join(err, c.Unmount())
	if m.row.Writes || m.row.Anew {
		err = errors.Join(err, c.Discard())
	}
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

package contest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cfs-project/cfs/bench"
)

// The lines of several containers that share one image.
const (
	secondRead   = "read all, second container"
	secondMemory = "memory of a further container"
)

// share has a second container of the same image read all that a first has read: it
// finds it in the page cache if the driver has the two share it.
func (s *session) share(ctx context.Context, drop bool) error {
	fixture, err := s.fixtures.Get(ctx, bench.FixtureTree)
	if err != nil {
		return err
	}
	if fixture.Paths.All == nil {
		if fixture.Paths, err = bench.ListPaths(fixture.Merged); err != nil {
			return err
		}
		s.fixtures.Put(fixture)
	}
	s.show.step(bench.GroupShare, secondRead)
	state := "new mount"
	if drop {
		state = "cold"
	}
	s.report.Workloads = append(s.report.Workloads,
		bench.Line{Name: secondRead, Group: bench.GroupShare, State: state, About: "a second container of an image reads every file, after a first one did"},
		bench.Line{Name: secondMemory, Group: bench.GroupShare, State: state, Unit: bench.UnitBytes, About: "what less memory is free when it has: its server, and what it doesn't share of the page cache"})
	times, sizes := map[string]bench.Samples{}, map[string]bench.Samples{}
	out := map[string]bool{}
	var order []string
	began := time.Now()
	rounds := s.paced()
	for r := 0; r < rounds.Most && (r < rounds.Least || time.Since(began) < rounds.Budget); r++ {
		s.listener.Spin()
		for i := range s.field.all {
			e := s.field.all[(i+r)%len(s.field.all)]
			if !e.Usable || e.make == nil || out[e.Name] {
				continue
			}
			took, size, err := s.second(ctx, e, fixture, drop)
			if err != nil && ctx.Err() != nil {
				return err
			}
			if err != nil {
				out[e.Name] = true
				for _, line := range []string{secondRead, secondMemory} {
					s.report.Skipped = append(s.report.Skipped, bench.Skip{Workload: line, Contestant: e.Name, Reason: oneLine(err)})
				}
				continue
			}
			times[e.Name] = append(times[e.Name], took)
			sizes[e.Name] = append(sizes[e.Name], time.Duration(size))
		}
	}
	for _, e := range s.field.all {
		if !out[e.Name] {
			order = append(order, e.Name)
		}
	}
	s.report.Add(secondRead, len(fixture.Paths.All), times, order...)
	s.report.AddUnit(secondMemory, bench.UnitBytes, 0, sizes, order...)
	return nil
}

// second measures an entrant's second container: the time it takes to read all, in
// and the memory, in bytes.
func (s *session) second(ctx context.Context, e entrant, f bench.Fixture, drop bool) (took time.Duration, size int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	var cs [2]bench.Contestant
	for i := range cs {
		if cs[i], err = e.make(i); err != nil {
			return 0, 0, err
		}
		// Each native container has a tree of its own.
		if err := cs[i].Over(f, e.Kind == bench.Limit); err != nil {
			return 0, 0, err
		}
	}
	if drop {
		if err := bench.DropCaches(s.dir); err != nil {
			return 0, 0, err
		}
	}
	reading := bench.ColdRead
	first, err := cs[0].Mount(ctx)
	if err != nil {
		return 0, 0, errors.Join(err, cs[0].Discard())
	}
	defer func() { err = errors.Join(err, cs[0].Unmount(), cs[0].Discard()) }()
	if _, _, err := reading.Time(first, f.Paths); err != nil {
		return 0, 0, err
	}
	before, err := usedMemory()
	if err != nil {
		return 0, 0, err
	}
	next, err := cs[1].Mount(ctx)
	if err != nil {
		return 0, 0, errors.Join(err, cs[1].Discard())
	}
	defer func() { err = errors.Join(err, cs[1].Unmount(), cs[1].Discard()) }()
	if took, _, err = reading.Time(next, f.Paths); err != nil {
		return 0, 0, err
	}
	after, err := usedMemory()
	return took, max(0, after-before), err
}

// usedMemory is what is not free, in bytes (proc_meminfo(5)).
func usedMemory() (int64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	var total, free int64
	for line := range strings.Lines(string(b)) {
		_, _ = fmt.Sscanf(line, "MemTotal: %d kB", &total)
		_, _ = fmt.Sscanf(line, "MemFree: %d kB", &free)
	}
	if total == 0 {
		return 0, errors.New("/proc/meminfo tells no MemTotal")
	}
	return (total - free) << 10, nil
}

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

// shareLines are what share measures.
func (s *session) shareLines() []bench.Line {
	state := bench.Fresh
	if s.choice.Drop {
		state = bench.Cold
	}
	return []bench.Line{
		{Name: secondRead, Group: bench.GroupShare, State: state.String(), About: "a second container of an image reads every file, after a first one did"},
		{Name: secondMemory, Group: bench.GroupShare, State: state.String(), Unit: bench.UnitBytes, About: "what less memory is free with it: its server, and what it doesn't share of the page cache when it has read all"},
	}
}

// share has a second container of the same image read all that a first has read: it
// finds it in the page cache if the driver has the two share it.
func (s *session) share(ctx context.Context, rounds bench.Rounds) error {
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
	times, sizes := map[string]bench.Samples{}, map[string]bench.Samples{}
	out := map[string]bool{}
	var order []string
	for p := rounds.Pace(); p.More(); {
		for i := range s.field.all {
			e := s.field.all[(i+p.Round())%len(s.field.all)]
			if !e.Usable || e.make == nil || out[e.Name] {
				continue
			}
			took, size, err := s.second(ctx, e, fixture)
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

// second measures an entrant's second container: the time it takes to read all, and the
// memory, in bytes.
func (s *session) second(ctx context.Context, e entrant, f bench.Fixture) (took time.Duration, size int64, err error) {
	var roots [2]string
	var used [4]int64 // with one container, with two, when the first has read all, when the second has
	for i := range roots {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		c, err := e.make(i)
		if err != nil {
			return 0, 0, err
		}
		// Each native container has a tree of its own.
		if err := c.Over(f, e.Kind == bench.Limit); err != nil {
			return 0, 0, err
		}
		if roots[i], err = c.Mount(ctx); err != nil {
			return 0, 0, errors.Join(err, c.Discard())
		}
		defer func() { err = errors.Join(err, c.Unmount(), c.Discard()) }()
		// What making it read and wrote, as a driver does that copies the image.
		if s.choice.Drop {
			if err := bench.DropCaches(s.dir, roots[i]); err != nil {
				return 0, 0, err
			}
		}
		if used[i], err = usedMemory(); err != nil {
			return 0, 0, err
		}
	}
	for i, root := range roots {
		if took, _, err = bench.ReadAll.Time(root, f.Paths); err != nil {
			return 0, 0, err
		}
		if used[2+i], err = usedMemory(); err != nil {
			return 0, 0, err
		}
	}
	return took, max(0, used[1]-used[0]+used[3]-used[2]), nil
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

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// ResidentKiB is what a process holds in memory now: VmRSS of proc_pid_status(5), in KiB.
func ResidentKiB(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var n int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &n); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("/proc/%d/status tells no VmRSS", pid)
}

// What a server may hold, in KiB, after a walk of [FixtureWalk], and what ten
// walks may be of one, in per cent.
const (
	maxResidentKiB = 24 << 10
	maxGrowth      = 110
)

// MeasureMemory walks many files in a new mount of a contestant, once and ten
// times more, and reports its server's memory. The kernel has no server.
func (b *Bench) MeasureMemory(ctx context.Context, c Contestant, judged bool) (err error) {
	f, err := b.Fixtures.Get(FixtureWalk)
	if err != nil {
		return err
	}
	b.Stacks[c.Name()].Lowers = f.Lowers
	root, err := c.Mount(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Unmount(), b.Stacks[c.Name()].discard()) }()
	pid := c.Server()
	if pid == 0 {
		return nil
	}
	paths, err := ListPaths(root) // the first walk
	if err != nil {
		return err
	}
	first, err := ResidentKiB(pid)
	if err != nil {
		return err
	}
	for range 10 {
		if _, _, err := (Workload{Name: "walk", Do: walkTree}).Time(root, paths); err != nil {
			return err
		}
	}
	last, err := ResidentKiB(pid)
	if err != nil {
		return err
	}
	limit := func(n int64) *int64 {
		if !judged {
			return nil
		}
		return &n
	}
	b.Report.Counts = append(b.Report.Counts,
		Count{fmt.Sprintf("%s: KiB resident after a walk of %d files", c.Name(), b.Fixtures.Walk), first, limit(maxResidentKiB)},
		Count{fmt.Sprintf("%s: KiB resident after ten walks more", c.Name()), last, limit(maxResidentKiB)},
		Count{fmt.Sprintf("%s: the latter in per cent of the former", c.Name()), last * 100 / first, limit(maxGrowth)})
	return nil
}

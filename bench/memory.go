package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// ResidentKiB is what a process holds in memory now: VmRSS of proc_pid_status(5), in KiB.
func ResidentKiB(pid int) (int64, error) { return statusKiB(pid, "VmRSS") }

// statusKiB is a size of proc_pid_status(5), in KiB.
func statusKiB(pid int, name string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var n int64
		if _, err := fmt.Sscanf(line, name+": %d kB", &n); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("/proc/%d/status tells no %s", pid, name)
}

// What a server may hold, in KiB, during walks of [FixtureWalk], and what the
// later of ten may be of the earlier, in per cent.
const (
	maxResidentKiB = 24 << 10
	maxGrowth      = 110
)

// MeasureMemory walks many files in a new mount of a contestant, once and ten
// times more, and reports its server's memory. The kernel has no server.
func (b *Bench) MeasureMemory(ctx context.Context, c Contestant, judged bool) (err error) {
	f, err := b.Fixtures.Get(ctx, FixtureWalk)
	if err != nil {
		return err
	}
	if err := c.Over(f, false); err != nil {
		return err
	}
	root, err := c.Mount(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Unmount(), c.Discard()) }()
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
	after := make([]int64, 10) // walks
	for i := range after {
		if _, _, err := (Workload{Name: "walk", Do: walkTree}).Time(root, paths); err != nil {
			return err
		}
		if after[i], err = ResidentKiB(pid); err != nil {
			return err
		}
	}
	// What the garbage collector has not got to yet comes and goes.
	early, late := slices.Max(after[:5]), slices.Max(after[5:])
	limit := func(n int64) *int64 {
		if !judged {
			return nil
		}
		return &n
	}
	b.Report.Counts = append(b.Report.Counts,
		Count{fmt.Sprintf("%s: KiB resident after a walk of %d files", c.Name(), b.Fixtures.Walk), first, limit(maxResidentKiB)},
		Count{fmt.Sprintf("%s: KiB resident at most in ten walks more", c.Name()), max(early, late), limit(maxResidentKiB)},
		Count{fmt.Sprintf("%s: the most of the last five in per cent of the first five's", c.Name()), late * 100 / early, limit(maxGrowth)})
	return nil
}

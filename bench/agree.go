package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// An Agreement is one thing that is measured twice on the same mount: by this package, and
// by a program that others trust.
type Agreement struct {
	Name, Tool string
	fixture    string
	prepare    func(*Site) error // before each, outside of the time; may be nil
	ours       func(*Site) (Sample, error)
	theirs     func(*Site) (Sample, error)
}

// The two sides of an agreement.
const (
	Ours   = "ours"
	Theirs = "theirs"
)

// Agreements are what can be compared with fio and hyperfine.
func Agreements(z Sizes, fio, hyperfine string) []Agreement {
	c := Choice{Sizes: z, Fio: fio}
	both := func(args func(*Site) []string) (ours, theirs func(*Site) (Sample, error)) {
		return func(s *Site) (Sample, error) { a := args(s); return program(1, a[0], a[1:]...) },
			func(s *Site) (Sample, error) { return hyperfined(hyperfine, args(s)) }
	}
	data := func(s *Site) error { return writeFile(filepath.Join(s.Root, "new"), randomRegion(s), true) }
	copied := func(s *Site) string { return filepath.Join(s.Root, "copied") }
	all := []Agreement{
		{"sequential read", "fio", FixtureBig, nil, sequentialRead, c.fio(bigName(0), "--readonly", "--rw=read", "--bs=128k", size(z.Big))},
		{"random read 4KiB", "fio", FixtureBig, nil, randomReadOf(0), c.fio(bigName(0), "--readonly", "--rw=randread", "--bs=4k", size(c.region()), ioSize(z.Random))},
		{"sequential write + fsync", "fio", FixtureEmpty, func(s *Site) error { return os.RemoveAll(filepath.Join(s.Root, "new")) }, sequentialWrite, c.fioSequentialWrite()},
		{"random write 4KiB", "fio", FixtureEmpty, data, randomWrite, c.fio("new", "--rw=randwrite", "--bs=4k", size(c.region()), ioSize(z.Random), "--fallocate=none")},
	}
	add := func(name, fixture string, prepare func(*Site) error, args func(*Site) []string) {
		ours, theirs := both(args)
		all = append(all, Agreement{name, "hyperfine", fixture, prepare, ours, theirs})
	}
	add("find -ls", FixtureTree, nil, func(s *Site) []string { return []string{"find", s.Root, "-ls"} })
	add("ls -l", FixtureMany, nil, func(s *Site) []string { return []string{"ls", "-l", filepath.Join(s.Root, manyDir)} })
	add("rm -rf", FixtureMany, func(s *Site) error {
		return execute(exec.Command("cp", "-a", filepath.Join(s.Root, manyDir), copied(s)))
	}, func(s *Site) []string { return []string{"rm", "-rf", copied(s)} })
	return all
}

// AgreeOnCommand is one on a whole command.
func AgreeOnCommand(name, hyperfine string, args ...string) Agreement {
	return Agreement{Name: name, Tool: "hyperfine", fixture: FixtureEmpty,
		ours:   func(*Site) (Sample, error) { return program(1, args[0], args[1:]...) },
		theirs: func(*Site) (Sample, error) { return hyperfined(hyperfine, args) }}
}

// Measure has both sides measure on a mounted contestant, in turns.
func (a Agreement) Measure(ctx context.Context, c Contestant, f *Fixtures, n Rounds) (_ map[string]Samples, err error) {
	fixture, err := f.Get(ctx, a.fixture)
	if err != nil {
		return nil, err
	}
	if err := c.Over(fixture, true); err != nil {
		return nil, err
	}
	root, err := c.Mount(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Unmount(), c.Discard()) }()
	site := &Site{Contestant: c, Root: root, Sizes: f.Sizes, Fixtures: f}
	job := func(name string, run func(*Site) (Sample, error)) Job {
		return Job{name, func(context.Context) (time.Duration, error) {
			if a.prepare != nil {
				if err := a.prepare(site); err != nil {
					return 0, err
				}
			}
			if err := writeOut(root, f.dir); err != nil {
				return 0, err
			}
			s, err := run(site)
			return s.Took, err
		}}
	}
	jobs := []Job{job(Ours, a.ours), job(Theirs, a.theirs)}
	for _, j := range jobs { // unmeasured
		if _, err := run(ctx, j); err != nil {
			return nil, err
		}
	}
	return n.Compare(ctx, jobs...)
}

// Agree tells whether two sides found the same: their medians' intervals overlap, or the
// medians are within a tenth of each other.
func Agree(a, b Samples) bool {
	lowA, highA, _ := a.Interval()
	lowB, highB, _ := b.Interval()
	ratio := a.Ratio(b)
	return lowA <= highB && lowB <= highA || ratio > 1/1.1 && ratio < 1.1
}

// hyperfined has hyperfine(1) run a command once, without a shell. Its arguments have no
// spaces.
func hyperfined(hyperfine string, args []string) (Sample, error) {
	f, err := os.CreateTemp("", "cfs-bench-hyperfine-")
	if err != nil {
		return Sample{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := execute(exec.Command(hyperfine, "-N", "--style", "none", "--runs", "1", "--export-json", f.Name(), strings.Join(args, " "))); err != nil {
		return Sample{}, err
	}
	var out struct {
		Results []struct{ Times []float64 }
	}
	if err := json.NewDecoder(f).Decode(&out); err != nil {
		return Sample{}, fmt.Errorf("hyperfine's output: %w", err)
	}
	if len(out.Results) != 1 || len(out.Results[0].Times) != 1 {
		return Sample{}, fmt.Errorf("hyperfine measured %d commands, not 1 once", len(out.Results))
	}
	return Sample{time.Duration(out.Results[0].Times[0] * float64(time.Second)), 1}, nil
}

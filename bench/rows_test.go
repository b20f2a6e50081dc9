package bench

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// smallSizes have every row done in moments.
var smallSizes = Sizes{Tree: 120, Many: 200, Big: 1 << 20, Bigs: 2, Sparse: 4, Dir: 100, Flat: 50, Walk: 200, Random: 64}

// TestUnionRows runs every row once on the kernel's overlay and on the real program.
func TestUnionRows(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: to mount")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("needs /dev/fuse")
	}
	cfs := filepath.Join(t.TempDir(), "cfs")
	if out, err := exec.Command("go", "build", "-o", cfs, "../cmd/cfs").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	g, err := NewGround(t.Context(), "")
	if err != nil {
		t.Skip("no ground here: ", err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	stack := func(name string) Stack {
		target, err := g.Point(name)
		if err != nil {
			t.Fatal(err)
		}
		return Stack{Upper: filepath.Join(g.Dir, name, "upper"), Work: filepath.Join(g.Dir, name, "work"), Target: target}
	}
	kernel := &Overlay{Stack: stack("overlay")}
	program := &MountProgram{Label: "cfs", Argv: []string{cfs, "union"}, Stack: stack("cfs")}
	r := &Report{Name: "rows"}
	b := &Bench{
		Contestants: []Contestant{kernel, program},
		Fixtures:    NewFixtures(filepath.Join(g.Dir, "fixtures"), smallSizes), Rounds: Rounds{Most: 1}, Report: r,
	}
	steps := 0
	for _, row := range UnionRows() {
		if row.State == Cold { // not everybody's caches for a test's sake
			row.State = Fresh
		}
		if err := b.Measure(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		for _, s := range row.Steps {
			steps++
			r.Judge(Target{Workload: s.Name, Contestant: "cfs", Against: "overlay", Max: 1000})
		}
	}
	if len(r.Targets) != steps || len(r.Results) != 2*steps {
		t.Errorf("%d targets and %d results of %d steps", len(r.Targets), len(r.Results), steps)
	}
	for _, x := range r.Results {
		if x.Median <= 0 || x.Ops <= 0 {
			t.Errorf("%s on %s: %v, %d operations", x.Workload, x.Contestant, time.Duration(x.Median), x.Ops)
		}
	}
	if err := b.MeasureMemory(t.Context(), program, true); err != nil || len(r.Counts) != 3 {
		t.Errorf("memory: %v, %v", r.Counts, err)
	}
	var out bytes.Buffer
	if err := r.WriteRows(&out, "cfs", "overlay", "cfs"); err != nil || bytes.Count(out.Bytes(), []byte("\n")) < steps {
		t.Errorf("table: %v\n%s", err, &out)
	}
}

func TestTraceHeader(t *testing.T) {
	for _, c := range []struct {
		header string
		ok     bool
	}{
		{"# entries-in-buffer/entries-written: 12/12   #P:2", true},
		{"# entries-in-buffer/entries-written: 11/12   #P:2", false},
		{"# entries-in-buffer/entries-written:", false},
	} {
		if err := allKept(c.header); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.header, err)
		}
	}
}

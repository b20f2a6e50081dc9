package contest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/progress"
	"github.com/cfs-project/cfs/internal/testenv"
)

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root, to mount")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("SKIPPED: needs /dev/fuse")
	}
}

// groups are those that are measured without the program cfs itself.
var groups = []string{bench.GroupMetadata, bench.GroupFiles, bench.GroupIO, bench.GroupCopyUp, bench.GroupDepth, bench.GroupCommit, bench.GroupShare, bench.GroupSpace}

func work(t *testing.T, o Options, change func(bench.Row) bench.Row) *bench.Report {
	t.Helper()
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(testenv.TempDir(t), "place")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	j := job{Options: o, Dir: dir, Style: progress.Quiet, Began: time.Now()}
	r, err := j.work(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	r.Name = "test"
	Judge(r)
	return r
}

// The whole benchmark but for applications, once, with every driver there is.
func TestEverything(t *testing.T) {
	needsRoot(t)
	r := work(t, Options{Root: t.TempDir(), Groups: groups, Size: "tiny", Runs: 1, Depths: []int{1, 3}, NoCold: true}, nil)
	drivers := 0
	for _, e := range r.Contestants {
		if e.Usable && e.Kind == bench.Driver {
			drivers++
		}
		if !e.Usable && e.Reason == "" {
			t.Errorf("%s: not usable, without a reason", e.Name)
		}
	}
	if drivers < 2 {
		t.Fatalf("%d drivers were measured: %+v", drivers, r.Contestants)
	}
	// Every line has a result or a reason for every contestant.
	for _, l := range r.Workloads {
		for _, e := range r.Contestants {
			if _, ok := r.Result(l.Name, e.Name); e.Usable && !ok && why(r, l.Name, e.Name) == "" && l.Unit == "" {
				t.Errorf("%s on %s: neither a result nor a reason", l.Name, e.Name)
			}
		}
	}
	for _, s := range Failures(r) {
		t.Errorf("%s on %s failed: %s", s.Workload, s.Contestant, s.Reason)
	}
	if len(r.Verdicts) != len(uses) {
		t.Errorf("%d verdicts of %d", len(r.Verdicts), len(uses))
	}
	var table bytes.Buffer
	if err := Print(&table, r, 100); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(table.String()) {
		if strings.HasPrefix(line, "  ") && strings.Contains(line, "s") && len([]rune(line)) > 110 {
			t.Errorf("a line of the table is too wide for 100 columns: %q", line)
		}
	}
	valid(t, r)
}

func why(r *bench.Report, workload, contestant string) string {
	for _, s := range r.Skipped {
		if s.Workload == workload && s.Contestant == contestant {
			return s.Reason
		}
	}
	return ""
}

// valid checks a report against the schema.
func valid(t *testing.T, r *bench.Report) {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile("../schema.json")
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(doc); err != nil {
		t.Error(err)
	}
}

// A driver that is slowed on purpose is told from what it was.
func TestSlowed(t *testing.T) {
	needsRoot(t)
	o := Options{Root: t.TempDir(), Drivers: []string{"union", "vfs"}, Groups: []string{bench.GroupMetadata}, Size: "tiny", Quick: true, Runs: 9, NoCold: true}
	const slowed = "union"
	before := work(t, o, nil)
	now := work(t, o, func(row bench.Row) bench.Row {
		steps := row.Steps
		row.Steps = nil
		for _, st := range steps {
			run := st.Run
			st.Run = func(s *bench.Site) (bench.Sample, error) {
				x, err := run(s)
				if s.Contestant.Name() == slowed {
					start := time.Now()
					time.Sleep(100 * time.Millisecond)
					x.Took += time.Since(start)
				}
				return x, err
			}
			row.Steps = append(row.Steps, st)
		}
		return row
	})
	before.Conditions.Noise, now.Conditions.Noise = nil, nil // what it is here is not the matter
	found := 0
	for _, c := range Changes(before, now) {
		if c.Contestant != slowed {
			continue
		}
		found++
		if c.Word() != "slower" || c.P > maxP {
			t.Errorf("%s: %s, %v to %v, p %.4f", c.Workload, c.Word(), c.Old.Samples, c.New.Samples, c.P)
		}
	}
	if found < 3 {
		t.Errorf("%d results were compared", found)
	}
	var out bytes.Buffer
	if err := PrintChanges(&out, before, now); err != nil || strings.Count(out.String(), "slower") < found {
		t.Errorf("%v\n%s", err, &out)
	}
	for _, v := range now.Verdicts {
		if v.Ranking[0].Driver == slowed {
			t.Errorf("%s: %s", v.Use, v.Text)
		}
	}
}

package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A report of everything is of the form that schema.json describes, and what is not of it
// is found out.
func TestSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(b []byte) error {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(doc)
	}
	now, limit := time.Now().UTC().Truncate(time.Second), int64(5)
	r := &Report{Name: "test", Conditions: Here()}
	r.Conditions.Filesystem, r.Conditions.Rounds, r.Conditions.Started, r.Conditions.Noise = "ext4", 3, &now, &Noise{}
	r.Conditions.Tools = map[string]string{"fio": "fio-3"}
	r.Contestants = []Entrant{{Name: "x", Kind: Driver, Usable: true, Note: "note"}, {Name: "y", Kind: Peer, Reason: "why", Hint: "what"}}
	for _, row := range DriverRows(Choice{Sizes: smallSizes, Depths: []int{1, 10}, Drop: true}) {
		r.Workloads = append(r.Workloads, row.Lines()...)
	}
	r.Workloads = append(r.Workloads, Line{Name: "disk", Group: GroupSpace, State: "warm", Unit: UnitBytes})
	r.Add("w", 7, map[string]Samples{"x": {1, 2, 3}}, "x")
	r.AddUnit("disk", UnitBytes, 0, map[string]Samples{"x": {4096}}, "x")
	r.Skipped = []Skip{{"w", "y", "why", true}}
	r.Verdicts = []Verdict{{Use: "u", Text: "t", Workloads: []string{"w"}, Ranking: []Rank{{Driver: "x", Score: 1, Low: 1, High: 1, Tied: true}}}}
	r.Counts = []Count{{"c", 3, &limit}, {"d", 3, nil}}
	r.Requests = []RequestCount{{"w", "x", 7, map[string]int64{"OPEN": 1}}}
	r.Judge(Target{Workload: "w", Contestant: "x", Against: "x", Max: 1})
	r.Judge(Target{Workload: "w", Contestant: "x", Most: time.Second})
	r.Notes = []string{"note"}
	good, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := check(good); err != nil {
		t.Error(err)
	}
	// Read again it is the same.
	read := new(Report)
	if err := json.Unmarshal(good, read); err != nil {
		t.Fatal(err)
	}
	if again, err := read.JSON(); err != nil || !bytes.Equal(good, again) {
		t.Errorf("%v: read and written again it differs", err)
	}
	for _, c := range [][2]string{
		{`"schema": "cfs-bench/1"`, `"schema": "cfs-bench/0"`}, {`"kind": "peer"`, `"kind": "other"`}, {`"reason": "why",`, ``}, {`"state": "cold"`, `"state": "tepid"`},
		{`"samples": [`, `"sample": [`}, {`"confidence": 0.75`, `"confidence": 75`}, {`"unit": "bytes"`, `"unit": "B"`}, {now.Format(time.RFC3339), "now"},
	} {
		bad := strings.Replace(string(good), c[0], c[1], 1)
		if bad == string(good) {
			t.Errorf("there is no %s", c[0])
		} else if check([]byte(bad)) == nil {
			t.Errorf("%s instead of %s is let through", c[1], c[0])
		}
	}
}

func TestParseFio(t *testing.T) {
	const out = `{"fio version": "fio-3.33", "jobs": [{"error": %, "read": {"lat_ns": {"mean": 1000.5, "N": 4}}, "write": {"lat_ns": {"mean": 0, "N": 0}}, "sync": {"lat_ns": {"mean": 2000, "N": 1}}}]}`
	got, err := parseFio([]byte(strings.Replace(out, "%", "0", 1)))
	if want := (Sample{6002, 4}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{strings.Replace(out, "%", "5", 1), "", "{}"} {
		if got, err := parseFio([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestNoise(t *testing.T) {
	l := Listen()
	for range 3 {
		l.Spin()
	}
	n := l.Noise()
	if n.Spin < 0 || n.Steal < 0 || n.Others < 0 || n.Others > 100 {
		t.Errorf("%+v", n)
	}
	l.spins = []time.Duration{100, 100, 100, 100, 100, 100, 100, 100, 150, 150}
	if n := l.Noise(); n.Spin != 50 || !n.Noisy || !strings.Contains(n.String(), "NOISY") {
		t.Errorf("%+v", n)
	}
}

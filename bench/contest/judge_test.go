package contest

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cfs-project/cfs/bench"
)

// made is a report of one workload of a use, with samples around medians.
func made(lines map[string]map[string]time.Duration, unit string) *bench.Report {
	r := &bench.Report{Contestants: []bench.Entrant{
		{Name: "native", Kind: bench.Limit, Usable: true}, {Name: "a", Kind: bench.Driver, Usable: true}, {Name: "b", Kind: bench.Driver, Usable: true},
		{Name: "views", Kind: bench.Driver, Usable: true, ViewsOnly: true}, {Name: "absent", Kind: bench.Driver, Reason: "why"}, {Name: "peer", Kind: bench.Peer, Usable: true},
	}}
	for line, all := range lines {
		r.Workloads = append(r.Workloads, bench.Line{Name: line, Group: bench.GroupIO, Unit: unit})
		for c, d := range all {
			r.AddUnit(line, unit, 1, map[string]bench.Samples{c: {d * 99 / 100, d * 98 / 100, d, d * 101 / 100, d * 102 / 100, d, d}}, c)
		}
	}
	return r
}

func TestVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		lines map[string]map[string]time.Duration
		unit  string
		order []string
		tied  []bool
		text  []string
	}{
		"one is better at all": {map[string]map[string]time.Duration{
			"sequential write": {"a": 3000, "b": 1000, "native": 10, "peer": 1}, "sqlite": {"a": 2000, "b": 1000, "peer": 1},
		}, "", []string{"b", "a"}, []bool{false, false}, []string{"Use b; a takes 2.4 times as much, on the whole."}},
		"each is at one": {map[string]map[string]time.Duration{
			"sequential write": {"a": 1000, "b": 9000}, "sqlite": {"a": 4000, "b": 1000},
		}, "", []string{"a", "b"}, []bool{false, false}, []string{"But for “sqlite” b takes 25 % of what a does."}},
		"the same": {map[string]map[string]time.Duration{
			"sqlite": {"a": 1000, "b": 1001},
		}, "", []string{"a", "b"}, []bool{false, true}, []string{"b can't be told from it"}},
		"alone": {map[string]map[string]time.Duration{
			"sqlite": {"a": 1000, "views": 1, "absent": 1},
		}, "", []string{"a"}, []bool{false}, []string{"the only one"}},
		"small sizes are all the same": {map[string]map[string]time.Duration{
			"disk of a container": {"a": 4096, "b": 40960},
		}, bench.UnitBytes, []string{"a", "b"}, []bool{false, true}, nil},
	} {
		r := made(c.lines, c.unit)
		Judge(r)
		i := 0
		for i < len(r.Verdicts) && r.Verdicts[i].Use != "Write-heavy" {
			i++
		}
		if i == len(r.Verdicts) {
			t.Errorf("%s: no verdict", name)
			continue
		}
		v := r.Verdicts[i]
		var order []string
		var tied []bool
		for _, x := range v.Ranking {
			order, tied = append(order, x.Driver), append(tied, x.Tied)
			if x.Low > x.Score || x.High < x.Score || x.Score < 1 {
				t.Errorf("%s: %+v", name, x)
			}
		}
		if d := cmp.Diff(c.order, order) + cmp.Diff(c.tied, tied); d != "" {
			t.Errorf("%s: (-want +got)\n%s", name, d)
		}
		for _, s := range c.text {
			if !strings.Contains(v.Text, s) {
				t.Errorf("%s: %q has no %q", name, v.Text, s)
			}
		}
	}
	none := &bench.Report{}
	if Judge(none); len(none.Verdicts) != 0 {
		t.Errorf("verdicts on nothing: %+v", none.Verdicts)
	}
}

// drawn is a report of many results, with samples as a quiet host gives them: 2 % around
// the median, and now and then one that is much longer.
func drawn(rnd *rand.Rand, factor func(i int) float64) *bench.Report {
	r := &bench.Report{}
	for i := range 400 {
		var s bench.Samples
		for range 9 {
			d := 1e6 * math.Exp(0.02*rnd.NormFloat64()) * factor(i)
			if rnd.IntN(20) == 0 {
				d *= 1.5
			}
			s = append(s, time.Duration(d))
		}
		r.Add(fmt.Sprint("work ", i), 1, map[string]bench.Samples{"a": s}, "a")
	}
	return r
}

// Two runs agree; one of a driver that is slower does not.
func TestChanges(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	same := func(int) float64 { return 1 }
	a, b := drawn(rnd, same), drawn(rnd, same)
	c := drawn(rnd, func(i int) float64 { return []float64{1, 1.15, 0.85}[i%3] })
	for _, x := range Changes(a, b) {
		if x.Significant {
			t.Errorf("%s: %s, %v to %v", x.Workload, x.Word(), x.Old.Samples, x.New.Samples)
		}
	}
	missed := 0
	for i, x := range Changes(a, c) {
		if want := []string{"the same", "slower", "faster"}[i%3]; x.Word() != want {
			missed++
		}
	}
	if missed > 400/10 {
		t.Errorf("%d of 400 are not what they were made", missed)
	}
	// On a noisy host they mean nothing.
	c.Conditions.Noise = &bench.Noise{Spin: 40}
	for _, x := range Changes(a, c) {
		if x.Significant {
			t.Errorf("noisy: %s: %s", x.Workload, x.Word())
		}
	}
	// Few rounds can't tell.
	few, more := made(map[string]map[string]time.Duration{"w": {"a": 100}}, ""), made(map[string]map[string]time.Duration{"w": {"a": 1000}}, "")
	few.Results[0].Samples = few.Results[0].Samples[:2]
	if x := Changes(few, more); x[0].Significant {
		t.Errorf("two samples: %+v", x)
	}
	// Sizes are measured once.
	size := func(n time.Duration) *bench.Report {
		r := &bench.Report{}
		r.AddUnit("disk", bench.UnitBytes, 0, map[string]bench.Samples{"a": {n}}, "a")
		return r
	}
	if x := Changes(size(1000), size(1200)); x[0].Word() != "larger" {
		t.Errorf("a size: %s", x[0].Word())
	}
	var out bytes.Buffer
	before := size(1000)
	before.Conditions.Kernel = "old"
	if err := PrintChanges(&out, before, size(900)); err != nil || !strings.Contains(out.String(), "smaller") || !strings.Contains(out.String(), "the conditions were others: kernel old") {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestValue(t *testing.T) {
	for _, c := range []struct {
		v    int64
		unit string
		want string
	}{{0, "", "0ns"}, {999, "", "999ns"}, {1000, "", "1.00µs"}, {12345, "", "12.3µs"}, {123456789, "", "123ms"}, {61e9, "", "61.0s"}, {1 << 20, bench.UnitBytes, "1MiB"}} {
		if got := Value(c.v, c.unit); got != c.want {
			t.Errorf("%d %s: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	for want, o := range map[string]Options{
		"one tree": {Image: "a", Tree: "b"}, "no size": {Size: "huge"}, "no kind of workload": {Groups: []string{"nonesuch"}},
		"no number of layers": {Depths: []int{0}}, "from 1 to 400": {Depths: []int{401}}, "no number of rounds": {Runs: -1}, "unknown driver": {Drivers: []string{"nonesuch"}},
	} {
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	o := Options{Depths: []int{10, 1, 10}}
	if err := o.Check(); err != nil || cmp.Diff([]int{1, 10}, o.Depths) != "" || o.Runs != defaultRuns || o.Size != "medium" {
		t.Errorf("%+v, %v", o, err)
	}
}

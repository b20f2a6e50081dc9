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

// drawn is a report of 400 results, with samples as a quiet host gives them: 2 % around
// the median, and now and then one that is much longer. Of every four contestants the first is
// the native directory.
func drawn(rnd *rand.Rand, rounds int, factor func(line, contestant int) float64) *bench.Report {
	r := &bench.Report{}
	names := []string{"native", "a", "b", "c"}
	for i, n := range names {
		r.Contestants = append(r.Contestants, bench.Entrant{Name: n, Usable: true, Kind: []bench.Kind{bench.Limit, bench.Driver}[min(i, 1)]})
	}
	for i := range 100 {
		for c, name := range names {
			var s bench.Samples
			for range rounds {
				d := 1e6 * math.Exp(0.02*rnd.NormFloat64()) * factor(i, c)
				if rnd.IntN(20) == 0 {
					d *= 1.5
				}
				s = append(s, time.Duration(d))
			}
			r.Add(fmt.Sprint("work ", i), 1, map[string]bench.Samples{name: s}, name)
		}
	}
	return r
}

func same(int, int) float64 { return 1 }

// Runs of the same agree, whatever the number of rounds.
func TestRunsAgree(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	const pairs = 5
	for _, rounds := range []int{1, 3, 6, 9, 25} {
		alarms := 0
		for range pairs {
			for _, x := range Changes(drawn(rnd, rounds, same), drawn(rnd, rounds, same)) {
				if x.Significant {
					alarms++
				}
			}
		}
		if alarms > pairs/5 {
			t.Errorf("%d rounds: %d false alarms in %d comparisons of 400 results", rounds, alarms, pairs)
		}
	}
}

// A driver that is slower is found, one that is faster too, and no other.
func TestSlowerIsFound(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	for name, c := range map[string]struct {
		rounds int
		factor func(line, contestant int) float64
		found  float64 // of what changed
	}{
		"a driver, at everything":       {6, func(_, c int) float64 { return []float64{1, 1, 1.15, 1}[c] }, 0.5},
		"the same, with more rounds":    {9, func(_, c int) float64 { return []float64{1, 1, 1.15, 1}[c] }, 0.9},
		"one is faster, another slower": {9, func(_, c int) float64 { return []float64{1, 0.85, 1, 1.2}[c] }, 0.9},
		"at one line":                   {25, func(l, c int) float64 { return []float64{1, 1.5}[map[bool]int{l == 7 && c == 1: 1}[true]] }, 1},
	} {
		before, now := drawn(rnd, c.rounds, same), drawn(rnd, c.rounds, c.factor)
		changed, found, wrong := 0, 0, 0
		for i, x := range Changes(before, now) {
			f, want := c.factor(i/4, i%4), "the same"
			switch {
			case f > 1:
				want = "slower"
			case f < 1:
				want = "faster"
			}
			if want != "the same" {
				changed++
			}
			if x.Significant && x.Word() == want {
				found++
			} else if x.Significant {
				wrong++
			}
		}
		if float64(found) < c.found*float64(changed) || wrong > 1+found/20 {
			t.Errorf("%s: %d of %d found, %d wrong", name, found, changed, wrong)
		}
	}
}

// Where the host is slower, its native directory is, and no driver is blamed; but for one
// that is so by more.
func TestSlowerHost(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	before, found := drawn(rnd, 9, same), map[string]int{}
	for _, x := range Changes(before, drawn(rnd, 9, func(_, c int) float64 { return []float64{1.3, 1.3, 1.7, 1.3}[c] })) {
		if x.Significant {
			found[x.Contestant]++
		}
	}
	if found["native"] < 80 || found["b"] < 80 || found["a"]+found["c"] > 2 {
		t.Errorf("of 100 lines: %v", found)
	}
}

func TestChanges(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	// On a noisy host small changes mean nothing.
	noisy := drawn(rnd, 9, func(_, c int) float64 { return []float64{1, 1.2}[c%2] })
	noisy.Conditions.Noise = &bench.Noise{Spin: 60}
	for _, x := range Changes(drawn(rnd, 9, same), noisy) {
		if x.Significant {
			t.Errorf("noisy: %s: %s", x.Workload, x.Word())
		}
	}
	// Few rounds can't tell.
	line := func(d time.Duration) *bench.Report {
		return made(map[string]map[string]time.Duration{"w": {"a": d}}, "")
	}
	few, more := line(time.Millisecond), line(10*time.Millisecond)
	few.Results[0].Samples = few.Results[0].Samples[:2]
	if x := Changes(few, more); x[0].Significant {
		t.Errorf("two samples: %+v", x)
	}
	// Who has nothing to do takes twice as much of it at times.
	if x := Changes(line(300), line(600)); len(x) > 0 {
		t.Errorf("nothing: %+v", x)
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

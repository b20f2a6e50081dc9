package contest

import (
	"fmt"
	"testing"
	"time"

	"github.com/cfs-project/cfs/bench"
)

// simulate does a plan's steps on a host that takes so many times longer than expected,
// each by a factor of its own beside that. It gives the rounds of each step (-1: left
// out), and how long all took.
func simulate(p *plan, slowness float64, own func(i int) float64) (rounds []int, took time.Duration) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start
	if !p.deadline.IsZero() {
		p.deadline = start.Add(p.deadline.Sub(time.Time{}))
	}
	for i, s := range p.steps {
		r, ok := p.begin(now)
		if !ok {
			rounds = append(rounds, -1)
			continue
		}
		f := slowness * own(i)
		now = now.Add(time.Duration(f * float64(s.once+s.round))) // with the unmeasured one
		p.round()
		last, n := time.Duration(f*float64(s.round)), 0
		for ; r.GoesOn(n, now, last); n++ {
			now = now.Add(last)
			p.round()
		}
		rounds = append(rounds, n)
		p.end(now)
	}
	return rounds, now.Sub(start)
}

func steps(n int) (all []step) {
	for i := range n {
		all = append(all, step{name: fmt.Sprint(i), once: time.Duration(i%4) * time.Second, round: time.Duration(100+i%7*200) * time.Millisecond})
	}
	return all
}

// after is a deadline that simulate makes one after its start.
func after(d time.Duration) time.Time { return time.Time{}.Add(d) }

func TestPlan(t *testing.T) {
	equal := func(int) float64 { return 1 }
	uneven := func(i int) float64 { return []float64{0.3, 3, 1, 0.5, 2}[i%5] }
	late := func(i int) float64 { return []float64{1, 6}[i/30] } // what comes last takes longest
	for name, c := range map[string]struct {
		slowness    float64
		own         func(int) float64
		least, most int     // rounds of any step
		atLeast     float64 // of the time is used
	}{
		"as expected":       {1, equal, 6, 25, 0.85},
		"fast":              {0.1, equal, 25, 25, 0},
		"slow":              {3, equal, 3, 8, 0.85},
		"very slow":         {5, equal, 1, 6, 0.7},
		"too slow":          {25, equal, -1, 6, 0.5},
		"uneven":            {1, uneven, 6, 25, 0.6},
		"uneven and slow":   {2.5, uneven, 1, 25, 0.6},
		"slower and slower": {1, late, -1, 25, 0.7},
	} {
		const promised = 10 * time.Minute
		p := &plan{steps: steps(40), most: 25, least: least, deadline: after(promised)}
		rounds, took := simulate(p, c.slowness, c.own)
		// A round that had begun may end a little later.
		if took > promised+promised/20 || took < time.Duration(c.atLeast*float64(promised)) {
			t.Errorf("%s: took %v of %v: %v", name, took, promised, rounds)
		}
		for i, n := range rounds {
			if n < c.least || n > c.most {
				t.Errorf("%s: step %d has %d rounds, not %d to %d: %v", name, i, n, c.least, c.most, rounds)
				break
			}
		}
	}
}

// Where the host is as expected, all have about the same number of rounds.
func TestPlanIsFair(t *testing.T) {
	p := &plan{steps: steps(40), most: 25, least: least, deadline: after(10 * time.Minute)}
	rounds, _ := simulate(p, 1, func(int) float64 { return 1 })
	low, high := rounds[0], rounds[0]
	for _, n := range rounds {
		low, high = min(low, n), max(high, n)
	}
	if high-low > 3 {
		t.Errorf("rounds: %v", rounds)
	}
}

// Where not all can be done, the longest is left out, wherever it is.
func TestPlanLeavesOut(t *testing.T) {
	second := time.Second
	p := &plan{most: 9, least: least, deadline: after(30 * second), steps: []step{{round: second}, {round: 100 * second}, {round: 2 * second}, {round: 3 * second}}}
	rounds, took := simulate(p, 1, func(int) float64 { return 1 })
	if rounds[0] < 1 || rounds[1] != -1 || rounds[2] < 1 || rounds[3] < 1 || took > 33*second {
		t.Errorf("%v in %v", rounds, took)
	}
}

// What is a little too long for what is left is not left out for it.
func TestPlanGrace(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		grace time.Duration
		want  bool
	}{{0, false}, {5 * time.Second, true}} {
		p := &plan{most: 9, least: least, deadline: now.Add(10 * time.Second), grace: c.grace, steps: []step{{round: 8 * time.Second}}}
		if _, ok := p.begin(now); ok != c.want {
			t.Errorf("with %v more: %v", c.grace, ok)
		}
	}
}

// Without a time it does all that was asked for.
func TestPlanWithoutTime(t *testing.T) {
	p := &plan{steps: steps(10), most: 9, least: least}
	rounds, _ := simulate(p, 100, func(int) float64 { return 1 })
	for i, n := range rounds {
		if n != 9 {
			t.Errorf("step %d has %d rounds", i, n)
		}
	}
	if p.left(time.Now()) < 0 {
		t.Error("less than nothing is left")
	}
}

// What is left grows less, comes to nothing, and is about right from the beginning.
func TestPlanLeft(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := &plan{steps: steps(20), most: 5, least: 5, deadline: now.Add(time.Hour)}
	total := p.left(now)
	var took time.Duration
	for _, s := range p.steps {
		took += s.once + 6*s.round
	}
	if d := total - took; d > time.Second || d < -time.Second {
		t.Errorf("expected %v of %v", total, took)
	}
	before := total
	for _, s := range p.steps {
		p.begin(now)
		if left := p.left(now); left > before {
			t.Errorf("%v is left, %v was", left, before)
		} else {
			before = left
		}
		for range 6 {
		}
		p.rounds = 6
		now = now.Add(s.once + 6*s.round)
		p.end(now)
	}
	if left := p.left(now); left > time.Second {
		t.Errorf("%v is left of nothing", left)
	}
	p = &plan{steps: steps(20), most: 1000, least: 5, deadline: now.Add(time.Minute)}
	if left := p.left(now); left != time.Minute {
		t.Errorf("%v, not what was promised", left)
	}
}

// Every row is planned, and what there is more of is expected to take longer.
func TestCosts(t *testing.T) {
	small, _ := sizeOf("small")
	large, _ := sizeOf("large")
	made, more := map[string]bool{}, map[string]bool{}
	for _, drop := range []bool{true, false} {
		a := bench.DriverRows(bench.Choice{Sizes: small, Depths: []int{1, 100}, Drop: drop})
		b := bench.DriverRows(bench.Choice{Sizes: large, Depths: []int{1, 100}, Drop: drop})
		for i := range a {
			x, y := rowStep(a[i], small, 8, made), rowStep(b[i], large, 8, more)
			if x.round <= 0 || x.once < 0 || x.once+x.round > y.once+y.round {
				t.Errorf("%s: %v and %v a round, large %v and %v", x.name, x.once, x.round, y.once, y.round)
			}
			if again := rowStep(a[i], small, 8, made); again.once != 0 || again.round != x.round {
				t.Errorf("%s: its fixture is made twice: %v", x.name, again.once)
			}
			if twice := rowStep(a[i], small, 16, made); twice.round <= x.round {
				t.Errorf("%s: %v a round for 16 contestants, %v for 8", x.name, twice.round, x.round)
			}
		}
	}
}

func TestSpoken(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 s", 3 * time.Second: "5 s", 89 * time.Second: "90 s", 100 * time.Second: "2 min", 12 * time.Minute: "12 min"} {
		if got := spoken(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

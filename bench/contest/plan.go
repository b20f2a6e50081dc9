package contest

import (
	"time"

	"github.com/cfs-project/cfs/bench"
)

// A plan has all steps of a benchmark done in the time that was promised, whatever the
// host: it gives each as many rounds as there is time for, the same number for all, and
// learns from what is done how much longer than expected this host takes. A step that
// there is no time for at all is left out.
type plan struct {
	steps       []step
	next        int // the first that has not begun
	most, least int // rounds
	deadline    time.Time
	grace       time.Duration // by which it may be passed rather than leave a step out

	began    time.Time     // of the step before next
	rounds   int           // that it has begun, the unmeasured one among them
	allotted time.Duration // that it was to take

	// Of all steps that are done: what they were expected to take with their rounds, what
	// they were to take as they began, and what they took.
	expected, planned, took time.Duration
}

// A step is what is planned as a whole, with what it is expected to take on a host that
// is neither slow nor fast.
type step struct {
	group, name string
	once        time.Duration // before the first round
	round       time.Duration // a round of all contestants
}

// takes is what it takes with k rounds, beside the unmeasured one.
func (s step) takes(k float64) time.Duration {
	return s.once + time.Duration((k+1)*float64(s.round))
}

// Rounds are never fewer, where there is time; and where there is none.
const (
	fewest   = 3 // so that there is a median
	scarcely = 1
)

// dear is which part of a step's time one contestant may take: one that takes longer has
// fewer rounds than the others.
const dear = 3

// prior is how much of its own expectation a plan believes in: a host is not taken for
// slow for a step of a second that took three.
const prior = 15 * time.Second

// tidying is the part of the time that is kept for removing what was made.
const tidying = 0.04

// settled is how far a median's interval may reach, as a part of it, for more rounds to be
// given to others.
const settled = 0.04

// slowness is how many times longer than expected the host takes.
func (p *plan) slowness() float64 { return float64(p.took+prior) / float64(p.expected+prior) }

// usage is which part of its time a step uses: less where enough is known before, more where
// not even the fewest rounds fit.
func (p *plan) usage() float64 {
	return min(max(0.5, float64(p.took+prior)/float64(p.planned+prior)), 2)
}

// cost is what step i is to take here with k rounds.
func (p *plan) cost(i int, k float64) time.Duration {
	return time.Duration(p.slowness() * float64(p.steps[i].takes(k)))
}

// need is what all from step i on are to take.
func (p *plan) need(i int, k float64) (sum time.Duration) {
	for ; i < len(p.steps); i++ {
		sum += p.cost(i, k)
	}
	return sum
}

// fitting is with how many rounds all from step i on take so long: between scarcely and
// the most.
func (p *plan) fitting(i int, left time.Duration) float64 {
	least, most := float64(scarcely), float64(p.most)
	low, high := p.need(i, least), p.need(i, most)
	if high <= left || high <= low {
		return most
	}
	return max(least, least+(most-least)*float64(left-low)/float64(high-low))
}

// fits tells whether there is time for step i, and for all that are to come and take no
// longer: the longest are left out first, so that as many as can be are measured. What is
// expected is not known so well that a little matters.
func (p *plan) fits(i int, left time.Duration) bool {
	var sum time.Duration
	mine := p.cost(i, scarcely)
	for j := i; j < len(p.steps); j++ {
		if c := p.cost(j, scarcely); c <= mine {
			sum += c
		}
	}
	return sum*3/4 <= left+p.grace
}

// begin is the next step's rounds; false if there is no time for it.
func (p *plan) begin(now time.Time) (bench.Rounds, bool) {
	i := p.next
	p.next++
	p.began, p.rounds, p.allotted = now, 0, p.cost(i, float64(p.most))
	r := bench.Rounds{Most: p.most, Least: min(p.least, p.most), Fewest: min(fewest, p.most), Settled: settled}
	if p.deadline.IsZero() {
		return r, true
	}
	left := p.deadline.Sub(now)
	if !p.fits(i, left) {
		return r, false
	}
	k := p.fitting(i, time.Duration(float64(left)/p.usage()))
	p.allotted = p.cost(i, k)
	if k < fewest {
		r.Fewest = scarcely
	}
	r.Share = p.allotted / dear
	r.Until = now.Add(p.allotted)
	r.Latest = r.Until
	if k >= float64(r.Least) {
		// What was expected of it may be wrong. It can't have what the others need; and of what
		// they don't, its share twice.
		spare := left - p.need(i, fewest)
		r.Latest = r.Until.Add(time.Duration(min(1, 2/float64(len(p.steps)-i)) * float64(spare)))
	}
	return r, true
}

// round says that another has begun.
func (p *plan) round() { p.rounds++ }

// end says that the step is done.
func (p *plan) end(now time.Time) {
	s := p.steps[p.next-1]
	p.expected += s.takes(float64(p.rounds - 1))
	p.planned += p.allotted
	p.took += now.Sub(p.began)
}

// left is what is still to come, with the step that has begun.
func (p *plan) left(now time.Time) time.Duration {
	i := max(0, p.next-1)
	all := p.need(i, float64(p.most))
	if p.next > 0 {
		all -= min(now.Sub(p.began), p.cost(i, float64(p.most)))
	}
	if p.deadline.IsZero() {
		return all
	}
	return max(0, min(all, p.deadline.Sub(now)))
}

package bench

import (
	"context"
	"time"
)

// Rounds are how often jobs are compared.
type Rounds struct {
	Most  int // rounds
	Least int // that are done although Until is over; 0: as many as Most
	// Fewest are done whatever time it is; 0: as many as Least.
	Fewest int
	// Until is when the rounds after the Least have to be over, Latest when those after the
	// Fewest have. None begins that would be over later, if it takes as long as the one
	// before. Zero: no bound.
	Until, Latest time.Time
	// Settled is how far a median's interval may reach, as a part of it, for a contestant
	// to be measured no more after Least; 0: all are measured in every round.
	Settled float64
	// Share is what one contestant may take of the time, once it has samples to be compared
	// by; 0: no bound.
	Share   time.Duration
	Between func() // called before each; may be nil
}

// GoesOn tells whether round r is to be measured when the one before took so long.
func (n Rounds) GoesOn(r int, now time.Time, last time.Duration) bool {
	least := n.Least
	if least == 0 {
		least = n.Most
	}
	fewest := n.Fewest
	if fewest == 0 {
		fewest = least
	}
	over := func(t time.Time) bool { return !t.IsZero() && now.Add(last).After(t) }
	return r < n.Most && (r < least || !over(n.Until)) && (r < fewest || !over(n.Latest))
}

// settled tells whether enough is known of what was measured.
func (n Rounds) settled(all ...Samples) bool {
	for _, s := range all {
		if n.Settled == 0 || len(s) < max(n.Least, leastSettled) || s.Reach() > n.Settled {
			return false
		}
	}
	return len(all) > 0
}

// rests tells whether a contestant is measured no more, that took so long for its samples.
func (n Rounds) rests(spent time.Duration, all ...Samples) bool {
	if n.settled(all...) {
		return true
	}
	fewest := n.Most
	for _, s := range all {
		fewest = min(fewest, len(s))
	}
	return n.Share > 0 && spent > n.Share && fewest >= max(n.Fewest, leastShared)
}

// leastSettled is how many samples it takes for one change among hundreds of results to be
// significant: see [Differ] and [Adjust].
const leastSettled = 9

// leastShared is how many samples it takes for a few changes among some twenty results to be
// significant, which those are that a quick look is about.
const leastShared = 6

// A Pace keeps rounds.
type Pace struct {
	Rounds
	began time.Time // of the round
	done  int
}

// Pace begins to keep them.
func (n Rounds) Pace() *Pace { return &Pace{Rounds: n} }

// More tells whether another round is to be measured, and calls Between if so.
func (p *Pace) More() bool {
	now := time.Now()
	var last time.Duration
	if !p.began.IsZero() {
		last = now.Sub(p.began)
	}
	if !p.GoesOn(p.done, now, last) {
		return false
	}
	p.began = now
	p.done++
	if p.Between != nil {
		p.Between()
	}
	return true
}

// Round is the number of the round that is measured, from 0.
func (p *Pace) Round() int { return p.done - 1 }

// Compare runs jobs in rounds, in an order that rotates, and gives each contestant's
// samples.
func (n Rounds) Compare(ctx context.Context, jobs ...Job) (map[string]Samples, error) {
	out := make(map[string]Samples, len(jobs))
	p, spent := n.Pace(), map[string]time.Duration{}
	for left := len(jobs); left > 0 && p.More(); {
		left = 0
		for i := range jobs {
			j := jobs[(i+p.Round())%len(jobs)]
			if n.rests(spent[j.Contestant], out[j.Contestant]) {
				continue
			}
			began := time.Now()
			d, err := run(ctx, j)
			spent[j.Contestant] += time.Since(began)
			if err != nil {
				return nil, err
			}
			out[j.Contestant] = append(out[j.Contestant], d)
			left++
		}
	}
	return out, nil
}

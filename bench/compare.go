package bench

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// A Job is one contestant's way of doing what is compared, done once. It times
// itself, so that what it has to set up stays out of the figure.
type Job struct {
	Contestant string
	Run        func(ctx context.Context) (time.Duration, error)
}

// Compare runs every job once untimed if warm, and then in rounds, in an order
// that rotates, and gives each contestant's samples.
func Compare(ctx context.Context, rounds int, warm bool, jobs ...Job) (map[string]Samples, error) {
	if warm {
		for _, j := range jobs {
			if _, err := run(ctx, j); err != nil {
				return nil, err
			}
		}
	}
	return Rounds{Most: rounds}.Compare(ctx, jobs...)
}

// Rounds are how often jobs are compared.
type Rounds struct {
	Most, Least int
	Budget      time.Duration // that all may take before they end early, after Least; 0: no limit
	Between     func()        // called before each; may be nil
}

// Compare runs jobs in rounds, in an order that rotates, and gives each contestant's
// samples.
func (n Rounds) Compare(ctx context.Context, jobs ...Job) (map[string]Samples, error) {
	out := make(map[string]Samples, len(jobs))
	began := time.Now()
	for r := 0; n.more(r, began); r++ {
		for i := range jobs {
			j := jobs[(i+r)%len(jobs)]
			d, err := run(ctx, j)
			if err != nil {
				return nil, err
			}
			out[j.Contestant] = append(out[j.Contestant], d)
		}
	}
	return out, nil
}

// more tells whether round r is to be measured, and calls Between if so.
func (n Rounds) more(r int, began time.Time) bool {
	if r >= n.Most || r >= n.Least && n.Budget > 0 && time.Since(began) > n.Budget {
		return false
	}
	if n.Between != nil {
		n.Between()
	}
	return true
}

func run(ctx context.Context, j Job) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	runtime.GC() // what the round before left is not this one's cost
	d, err := j.Run(ctx)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", j.Contestant, err)
	}
	return d, nil
}

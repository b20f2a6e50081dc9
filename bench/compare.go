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

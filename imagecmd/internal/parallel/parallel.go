// Package parallel runs the same work on several things at once, within a bound.
package parallel

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// Do runs fn for 0 to n-1, so many at once, until one fails; the others
// are then told by their context.
func Do(ctx context.Context, workers, n int, fn func(ctx context.Context, i int) error) error {
	if n == 1 && ctx.Err() == nil {
		return fn(ctx, 0) // without a thread for it
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64 // and no channel: who takes from one is woken up for each
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := fn(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// LargestFirst are the numbers from 0 to n-1, those of large things first, so that
// none of them is begun last and then worked on alone.
func LargestFirst(n int, size func(i int) int64) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(size(b), size(a)) })
	return order
}

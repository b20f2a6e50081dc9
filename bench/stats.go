package bench

import (
	"slices"
	"time"
)

// Samples are the durations of one workload on one contestant, a round each.
type Samples []time.Duration

// Median is the middle one, or the mean of the two middle ones; 0 for none.
func (s Samples) Median() time.Duration {
	if len(s) == 0 {
		return 0
	}
	o := s.sorted()
	if n := len(o); n%2 == 0 {
		return (o[n/2-1] + o[n/2]) / 2
	}
	return o[len(o)/2]
}

// Spread is the smallest and the largest.
func (s Samples) Spread() (low, high time.Duration) {
	if len(s) == 0 {
		return 0, 0
	}
	return slices.Min(s), slices.Max(s)
}

func (s Samples) sorted() Samples {
	o := slices.Clone(s)
	slices.Sort(o)
	return o
}

// Ratio is the median of s in medians of base; 0 if base has none.
func (s Samples) Ratio(base Samples) float64 {
	b := base.Median()
	if b == 0 {
		return 0
	}
	return float64(s.Median()) / float64(b)
}

package bench

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Samples are the durations of one workload on one contestant, a round each; or as
// many numbers of another unit.
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

// wanted is the confidence that an interval is to have.
const wanted = 0.95

// Interval is where the true median lies, between two of the samples, with at least
// 95 % confidence, whatever their distribution: the k-th smallest and the k-th
// largest, as the number of samples below the median is binomial (Conover, Practical
// Nonparametric Statistics, 3.2). Fewer than six are too few for that, and it is from
// the smallest to the largest, with the confidence that has.
func (s Samples) Interval() (low, high time.Duration, confidence float64) {
	n := len(s)
	if n == 0 {
		return 0, 0, 0
	}
	o := s.sorted()
	// outside is how likely fewer than k+1 samples are on one side.
	outside, term := 0.0, math.Pow(0.5, float64(n))
	k, sure := 0, 1-2*term
	for i := 0; i < n/2; i++ {
		outside += term
		if i > 0 && 1-2*outside < wanted {
			break
		}
		k, sure = i, 1-2*outside
		term *= float64(n-i) / float64(i+1)
	}
	return o[k], o[n-1-k], max(sure, 0)
}

// Reach is how far the interval reaches from the median, as a part of it; 0 where
// that is nothing.
func (s Samples) Reach() float64 {
	m := s.Median()
	if m == 0 {
		return 0
	}
	low, high, _ := s.Interval()
	return float64(max(high-m, m-low)) / float64(m)
}

// Differ is how likely two sets of samples are to differ as they do, or more, when
// there is no difference: the two-sided Mann–Whitney test, with ties at the mean of their
// ranks. It is exact up to a number of samples, and by the normal distribution above.
func Differ(a, b Samples) float64 {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	// Twice the ranks, so that those of ties are whole numbers.
	rank := map[time.Duration]int{}
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j] == all[i] {
			j++
		}
		rank[all[i]] = i + 1 + j
		i = j
	}
	sum, got := 0, 0
	for _, x := range all {
		sum += rank[x]
	}
	for _, x := range a {
		got += rank[x]
	}
	if len(all) > exactly {
		return differNormal(len(a), got, all, rank)
	}
	// ways[m][r]: in how many ways m of the samples have the ranks' sum r.
	ways := make([][]float64, len(a)+1)
	for m := range ways {
		ways[m] = make([]float64, sum+1)
	}
	ways[0][0] = 1
	for _, x := range all {
		for m := len(a); m > 0; m-- {
			for r := sum; r >= rank[x]; r-- {
				ways[m][r] += ways[m-1][r-rank[x]]
			}
		}
	}
	// Sums are compared by their distance from the mean, which is symmetric.
	n := len(all)
	distance := func(r int) int { d := r*n - len(a)*sum; return max(d, -d) }
	var as, total float64
	for r, w := range ways[len(a)] {
		total += w
		if distance(r) >= distance(got) {
			as += w
		}
	}
	if total == 0 {
		return 1
	}
	return as / total
}

// exactly is up to how many samples together all their orders are counted.
const exactly = 20

// differNormal is Differ of many samples, n of which have ranks that come to half of got
// (Hollander, Wolfe, Nonparametric Statistical Methods, 4.1, with its correction for ties).
func differNormal(n, got int, all Samples, rank map[time.Duration]int) float64 {
	m, N := float64(len(all)-n), float64(len(all))
	ties := 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && rank[all[j]] == rank[all[i]] {
			j++
		}
		t := float64(j - i)
		ties += t * (t*t - 1)
		i = j
	}
	variance := float64(n) * m / 12 * (N + 1 - ties/(N*(N-1)))
	away := math.Abs(float64(got)/2-float64(n)*(N+1)/2) - 0.5
	if variance <= 0 || away <= 0 {
		return 1
	}
	return math.Erfc(away / math.Sqrt(2*variance))
}

// Adjust gives for each of many tests' p the part of chance among all tests whose p is no
// greater: Benjamini's and Hochberg's correction (Controlling the false discovery rate,
// 1995). Of those below 0.05 one in twenty is chance.
func Adjust(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
	out := make([]float64, len(p))
	least := 1.0
	for i, at := range order { // the greatest first
		least = min(least, p[at]*float64(len(p))/float64(len(p)-i))
		out[at] = least
	}
	return out
}

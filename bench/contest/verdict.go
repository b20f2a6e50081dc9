package contest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/cfs-project/cfs/bench"
)

// A use is what drivers are chosen for, and the lines that matter for it. One that ends
// with a space is every line that begins so.
type use struct {
	name, about string
	lines       []string
}

var uses = []use{
	{"PaaS density", "many containers of few images on one host: how soon one starts, and what each further one takes of memory and disk", []string{
		startLine, lifeLine, secondMemory, secondRead, containerSpace,
	}},
	{"Write-heavy", "databases and logs: large files written anew, in the middle, and for the first time, and what that takes of the disk", []string{
		"sequential write", "random write 4KiB", "first write to ", "sqlite", containerSpace,
	}},
	{"Container churn", "containers that live for a moment, as builds and tests have them: made, filled, emptied, removed", []string{
		startLine, lifeLine, "first file in a new container", "create small files", "delete them", "delete the image's files", "commit",
	}},
	{"Lab", "people at work in a few containers: they look around, install, compile, keep what they did", []string{
		"walk, ", "read all, ", "open, read, close, ", "rename a directory", "install a package", "git status", "compile", "diff", lifeLine, containerSpace,
	}},
}

const lifeLine = "make and remove"

// holds tells whether a use is judged by a line.
func (u use) holds(line string) bool {
	if line == secondRead {
		return slices.Contains(u.lines, line)
	}
	return slices.ContainsFunc(u.lines, func(l string) bool {
		return l == line || strings.HasSuffix(l, " ") && strings.HasPrefix(line, l) || l == "git status" && strings.HasPrefix(line, l)
	})
}

// leastBytes is what is not told from nothing: sizes are compared from there.
const leastBytes = 64 << 10

// resamples is how often the samples are drawn anew for the scores' bounds.
const resamples = 500

// Judge puts the verdicts into a report: for each use that anything was measured for,
// cfs's drivers that keep changes, by the geometric mean of what they take in terms of
// the best of them. Its bounds are those of a bootstrap (Efron, Tibshirani, An
// Introduction to the Bootstrap, 13.3).
func Judge(r *bench.Report) {
	r.Verdicts = nil
	for _, u := range uses {
		if v, ok := judge(r, u); ok {
			r.Verdicts = append(r.Verdicts, v)
		}
	}
}

func judge(r *bench.Report, u use) (bench.Verdict, bool) {
	var lines []string
	for _, l := range r.Workloads {
		if u.holds(l.Name) && !slices.Contains(lines, l.Name) {
			lines = append(lines, l.Name)
		}
	}
	drivers, lines := common(r, lines)
	if len(drivers) == 0 || len(lines) == 0 {
		return bench.Verdict{}, false
	}
	samples := make([][]bench.Samples, len(lines))
	for i, l := range lines {
		for _, d := range drivers {
			x, _ := r.Result(l, d)
			samples[i] = append(samples[i], x.Samples)
		}
	}
	units := make([]string, len(lines))
	for i, l := range lines {
		x, _ := r.Result(l, drivers[0])
		units[i] = x.Unit
	}
	scores := score(samples, units, func(s bench.Samples) bench.Samples { return s })
	rnd := rand.New(rand.NewPCG(1, 2)) // the same report, the same bounds
	drawn := make([][]float64, resamples)
	for i := range drawn {
		drawn[i] = score(samples, units, func(s bench.Samples) bench.Samples {
			out := make(bench.Samples, len(s))
			for j := range out {
				out[j] = s[rnd.IntN(len(s))]
			}
			return out
		})
	}
	order := make([]int, len(drivers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	v := bench.Verdict{Use: u.name, About: u.about, Workloads: lines}
	for _, i := range order {
		var all, against []float64
		for _, d := range drawn {
			all = append(all, d[i])
			against = append(against, d[i]/d[order[0]])
		}
		low, high := middle(all)
		nearest, _ := middle(against)
		v.Ranking = append(v.Ranking, bench.Rank{
			Driver: drivers[i], Score: scores[i], Low: min(low, scores[i]), High: max(high, scores[i]), Tied: i != order[0] && nearest <= 1,
		})
	}
	v.Text = sentence(r, v, lines)
	return v, true
}

// common are the drivers that were measured at most of the lines, and the lines that all
// of them were measured at.
func common(r *bench.Report, lines []string) (drivers, shared []string) {
	for _, e := range r.Contestants {
		if e.Kind != bench.Driver || !e.Usable || e.ViewsOnly {
			continue
		}
		n := 0
		for _, l := range lines {
			if _, ok := r.Result(l, e.Name); ok {
				n++
			}
		}
		if n > 0 && 2*n >= len(lines) {
			drivers = append(drivers, e.Name)
		}
	}
	// Who was measured can't be compared with who was not, nor cold with cached.
	for _, l := range lines {
		if !slices.ContainsFunc(drivers, func(d string) bool { x, ok := r.Result(l, d); return !ok || x.Cached }) {
			shared = append(shared, l)
		}
	}
	return drivers, shared
}

// score is each driver's geometric mean, over lines, of its median in the best one's.
func score(samples [][]bench.Samples, units []string, draw func(bench.Samples) bench.Samples) []float64 {
	logs := make([]float64, len(samples[0]))
	for i, line := range samples {
		medians, best := make([]float64, len(line)), math.Inf(1)
		for d, s := range line {
			medians[d] = max(float64(draw(s).Median()), 1)
			if units[i] == bench.UnitBytes {
				medians[d] = max(medians[d], leastBytes)
			}
			best = min(best, medians[d])
		}
		for d, m := range medians {
			logs[d] += math.Log(m / best)
		}
	}
	for d := range logs {
		logs[d] = math.Exp(logs[d] / float64(len(samples)))
	}
	return logs
}

// middle bounds 95 % of the values.
func middle(all []float64) (low, high float64) {
	slices.Sort(all)
	n := len(all)
	return all[n*25/1000], all[n-1-n*25/1000]
}

// much is how many times worse than the best at one line is worth a word.
const much = 2.0

// sentence is the verdict in words.
func sentence(r *bench.Report, v bench.Verdict, lines []string) string {
	first := v.Ranking[0]
	var b strings.Builder
	fmt.Fprintf(&b, "Use %s", first.Driver)
	var tied, rest []string
	for _, x := range v.Ranking[1:] {
		if x.Tied {
			tied = append(tied, x.Driver)
		} else {
			rest = append(rest, fmt.Sprintf("%s takes %s as much", x.Driver, Times(x.Score/first.Score)))
		}
	}
	if len(v.Ranking) == 1 {
		b.WriteString(", the only one that could be measured")
	}
	if len(tied) > 0 {
		fmt.Fprintf(&b, "; %s can't be told from it", strings.Join(tied, " and "))
	}
	if len(rest) > 0 {
		fmt.Fprintf(&b, "; %s, on the whole", strings.Join(rest, ", "))
	}
	b.WriteString(".")
	worst, whose, at := much, "", ""
	for _, l := range lines {
		mine, _ := r.Result(l, first.Driver)
		for _, x := range v.Ranking[1:] {
			other, _ := r.Result(l, x.Driver)
			a, b := float64(mine.Median), float64(other.Median)
			if mine.Unit == bench.UnitBytes {
				a, b = max(a, leastBytes), max(b, leastBytes)
			}
			if b > 0 && a/b > worst {
				worst, whose, at = a/b, x.Driver, l
			}
		}
	}
	if at != "" {
		fmt.Fprintf(&b, " But for “%s” %s takes %s of what %s does.", at, whose, percent(1/worst), first.Driver)
	}
	return b.String()
}

// Times is a ratio in words.
func Times(x float64) string {
	if x < 10 {
		return fmt.Sprintf("%.1f times", x)
	}
	return fmt.Sprintf("%.0f times", x)
}

func percent(x float64) string {
	if x < 0.01 {
		return fmt.Sprintf("%.1f %%", 100*x)
	}
	return fmt.Sprintf("%.0f %%", 100*x)
}

package bench

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cfs-project/cfs/internal/imagegen"
)

func TestSamples(t *testing.T) {
	for _, c := range []struct {
		s         Samples
		median    time.Duration
		low, high time.Duration
	}{
		{nil, 0, 0, 0},
		{Samples{5}, 5, 5, 5},
		{Samples{9, 1, 4}, 4, 1, 9},
		{Samples{8, 2, 4, 100}, 6, 2, 100},
	} {
		low, high := c.s.Spread()
		if c.s.Median() != c.median || low != c.low || high != c.high {
			t.Errorf("%v: median %v, spread %v %v", c.s, c.s.Median(), low, high)
		}
	}
	if r := (Samples{3}).Ratio(nil); r != 0 {
		t.Errorf("ratio to nothing: %v", r)
	}
}

// upTo are n samples from first on.
func upTo(n, first int) (s Samples) {
	for i := range n {
		s = append(s, time.Duration(first+i))
	}
	return s
}

func TestInterval(t *testing.T) {
	// Tables of the binomial distribution with p = 1/2.
	for _, c := range []struct {
		n         int
		low, high time.Duration
		sure      float64
	}{{0, 0, 0, 0}, {1, 1, 1, 0}, {3, 1, 3, 0.75}, {5, 1, 5, 0.9375}, {6, 1, 6, 0.96875}, {8, 1, 8, 0.9921875}, {9, 2, 8, 0.9609375}, {20, 6, 15, 0.9586}} {
		low, high, sure := upTo(c.n, 1).Interval()
		if low != c.low || high != c.high || math.Abs(sure-c.sure) > 1e-4 {
			t.Errorf("%d samples: %d to %d, %.5f; want %d to %d, %.5f", c.n, low, high, sure, c.low, c.high, c.sure)
		}
	}
}

func TestDiffer(t *testing.T) {
	// What R's wilcox.test(exact = TRUE) answers, and coin's for ties.
	for _, c := range []struct {
		a, b Samples
		p    float64
	}{
		{Samples{1, 2, 3}, Samples{4, 5, 6}, 0.1},
		{Samples{1, 2, 3, 4, 5}, Samples{6, 7, 8, 9, 10}, 0.007937},
		{Samples{1, 3, 5, 7}, Samples{2, 4, 6, 8}, 0.685714},
		{Samples{5, 5, 5}, Samples{5, 5, 5}, 1},
		{Samples{1, 1, 2}, Samples{2, 3, 3}, 0.2},
		{nil, Samples{1}, 1},
		// Many, by the normal distribution: wilcox.test(exact = FALSE).
		{upTo(12, 0), upTo(12, 100), 3.658e-5},
		{upTo(12, 0), upTo(12, 0), 1},
		{upTo(12, 0), upTo(12, 3), 0.072925},
	} {
		if got := Differ(c.a, c.b); math.Abs(got-c.p) > 1e-5+c.p/100 {
			t.Errorf("%v and %v: %.6f, want %.6f", c.a, c.b, got, c.p)
		}
		if x, y := Differ(c.a, c.b), Differ(c.b, c.a); math.Abs(x-y) > 1e-12 {
			t.Errorf("%v and %v: %v, and the other way round %v", c.a, c.b, x, y)
		}
	}
}

func TestAdjust(t *testing.T) {
	// What R's p.adjust(method = "BH") answers.
	for _, c := range []struct{ p, want []float64 }{
		{nil, []float64{}},
		{[]float64{0.04}, []float64{0.04}},
		{[]float64{0.01, 0.02, 0.03, 0.04}, []float64{0.04, 0.04, 0.04, 0.04}},
		{[]float64{0.5, 0.001, 0.9, 0.02}, []float64{2. / 3, 0.004, 0.9, 0.04}},
		{[]float64{1, 1, 0.001}, []float64{1, 1, 0.003}},
	} {
		got := Adjust(c.p)
		if len(got) != len(c.want) {
			t.Fatalf("%v: %v", c.p, got)
		}
		for i := range got {
			if math.Abs(got[i]-c.want[i]) > 1e-9 {
				t.Errorf("%v: %v, want %v", c.p, got, c.want)
			}
		}
	}
}

// An interval holds the median it is of as often as it says.
func TestIntervalHolds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{3, 6, 9, 25} {
		held, sure := 0, 0.0
		const draws = 4000
		for range draws {
			var s Samples
			for range n { // the median is a thousand, the tail long
				s = append(s, time.Duration(1000*math.Exp(rnd.ExpFloat64()-math.Ln2)))
			}
			var low, high time.Duration
			low, high, sure = s.Interval()
			if low <= 1000 && 1000 <= high {
				held++
			}
		}
		if got := float64(held) / draws; math.Abs(got-sure) > 0.02 {
			t.Errorf("%d samples: %.3f of the intervals hold the median, not %.3f", n, got, sure)
		}
	}
}

func TestRounds(t *testing.T) {
	now := time.Now()
	in := func(d time.Duration) time.Time { return now.Add(d) }
	for name, c := range map[string]struct {
		r    Rounds
		done int
		last time.Duration
		want bool
	}{
		"the first":              {Rounds{Most: 3}, 0, 0, true},
		"the last":               {Rounds{Most: 3}, 2, time.Hour, true},
		"enough":                 {Rounds{Most: 3}, 3, 0, false},
		"time is over":           {Rounds{Most: 9, Least: 3, Until: in(-1)}, 3, 0, false},
		"not before the least":   {Rounds{Most: 9, Least: 3, Until: in(-1)}, 2, 0, true},
		"it would be over":       {Rounds{Most: 9, Least: 3, Until: in(time.Second)}, 3, 2 * time.Second, false},
		"it would not":           {Rounds{Most: 9, Least: 3, Until: in(3 * time.Second)}, 3, 2 * time.Second, true},
		"no time for the least":  {Rounds{Most: 9, Least: 6, Fewest: 3, Until: in(-2), Latest: in(-1)}, 3, 0, false},
		"no time for the fewest": {Rounds{Most: 9, Least: 6, Fewest: 3, Until: in(-2), Latest: in(-1)}, 2, 0, true},
		"before the latest":      {Rounds{Most: 9, Least: 6, Fewest: 3, Until: in(-1), Latest: in(time.Second)}, 5, 0, true},
	} {
		if got := c.r.GoesOn(c.done, now, c.last); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	wide, narrow := Samples{1, 2, 3, 4, 5, 6, 7, 8, 9}, Samples{100, 100, 101, 100, 99, 100, 100, 101, 100}
	r := Rounds{Settled: 0.04}
	if r.settled() || r.settled(wide) || r.settled(narrow[:5]) || r.settled(narrow, wide) || !r.settled(narrow, narrow) || (Rounds{}).settled(narrow) {
		t.Error("what is settled")
	}
	dear, six := Rounds{Most: 9, Fewest: 2, Share: time.Second}, wide[:6]
	if dear.rests(2*time.Second, wide[:5]) || dear.rests(time.Second, six) || dear.rests(2*time.Second, six, wide[:5]) || !dear.rests(2*time.Second, six, six) {
		t.Error("which contestant has had its share")
	}
}

// A contestant of which enough is known is measured no more, the others are.
func TestCompareSettles(t *testing.T) {
	n := 0
	jobs := []Job{
		{"steady", func(context.Context) (time.Duration, error) { return 100, nil }},
		{"unsteady", func(context.Context) (time.Duration, error) { n++; return time.Duration(100 + n%5*50), nil }},
	}
	got, err := Rounds{Most: 30, Settled: 0.04}.Compare(t.Context(), jobs...)
	if err != nil || len(got["steady"]) != leastSettled || len(got["unsteady"]) != 30 {
		t.Errorf("%d and %d samples, %v", len(got["steady"]), len(got["unsteady"]), err)
	}
	got, err = Rounds{Most: 30, Settled: 0.04}.Compare(t.Context(), jobs[0])
	if err != nil || len(got["steady"]) != leastSettled {
		t.Errorf("alone: %d samples, %v", len(got["steady"]), err)
	}
}

func TestCompareAlternates(t *testing.T) {
	var order []string
	job := func(name string) Job {
		return Job{Contestant: name, Run: func(context.Context) (time.Duration, error) {
			order = append(order, name)
			return time.Duration(len(order)), nil
		}}
	}
	got, err := Compare(t.Context(), 2, true, job("a"), job("b"), job("c"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a", "b", "c", "a", "b", "c", "b", "c", "a"} // warm, then two rounds
	if d := cmp.Diff(want, order); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]Samples{"a": {4, 9}, "b": {5, 7}, "c": {6, 8}}, got); d != "" {
		t.Errorf("samples (-want +got):\n%s", d)
	}
}

func TestJudge(t *testing.T) {
	var r Report
	r.Add("w", 1, map[string]Samples{"x": {80}, "y": {100}}, "x", "y")
	for _, target := range []Target{
		{Workload: "w", Contestant: "x", Against: "y", Max: 0.8},
		{Workload: "w", Contestant: "x", Against: "y", Max: 0.7},
		{Workload: "w", Contestant: "y", Against: "x", Difference: 21},
		{Workload: "w", Contestant: "y", Against: "x", Difference: 20},
		{Workload: "w", Contestant: "x", Against: "absent", Max: 1},
	} {
		r.Judge(target)
	}
	var met []bool
	for _, x := range r.Targets {
		met = append(met, x.Met)
	}
	if d := cmp.Diff([]bool{true, false, true, false}, met); d != "" {
		t.Errorf("verdicts (-want +got):\n%s", d)
	}
	if r.Met() || len(r.Notes) != 1 {
		t.Errorf("met %v, notes %q", r.Met(), r.Notes)
	}
	var b bytes.Buffer
	if err := r.Write(&b, "y"); err != nil || !bytes.Contains(b.Bytes(), []byte("MISSED")) {
		t.Errorf("%v\n%s", err, &b)
	}
}

func TestDecodeAndHash(t *testing.T) {
	dir := t.TempDir()
	content := imagegen.Layer{imagegen.File("f", string(make([]byte, 3<<20)))}.Tar()
	for _, c := range []struct {
		suffix string
		c      imagegen.Compression
	}{{".gz", imagegen.Gzip}, {".zst", imagegen.Zstd}, {"", imagegen.Plain}} {
		blob := c.c.Compress(content)
		file, out := filepath.Join(dir, "t"+c.suffix), filepath.Join(dir, "out")
		if err := os.WriteFile(file, blob, 0o600); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%x %x", sha256.Sum256(blob), sha256.Sum256(content))
		for _, how := range []Decoding{{}, {Pipelined: true}, {Write: out}} {
			_, in, tar, err := DecodeAndHash(file, how)
			if err != nil || in+" "+tar != want {
				t.Errorf("%q %+v: %s %s, %v; want %s", c.suffix, how, in, tar, err, want)
			}
		}
		if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%q: written %d bytes, %v", c.suffix, len(got), err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "cut.gz"), imagegen.Gzip.Compress(content)[:500], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := DecodeAndHash(filepath.Join(dir, "cut.gz"), Decoding{Pipelined: true}); err == nil {
		t.Error("a truncated file was decoded")
	}
}

func TestSplitTarKeepsEveryEntry(t *testing.T) {
	dir := t.TempDir()
	layer := imagegen.Chain(1, 10)[0]
	file := filepath.Join(dir, "one.tar")
	if err := os.WriteFile(file, layer.Tar(), 0o600); err != nil {
		t.Fatal(err)
	}
	list := func(files ...string) []string {
		var names []string
		for _, f := range files {
			if err := eachEntry(f, func(h *tar.Header, r io.Reader) error {
				n, err := io.Copy(io.Discard, r)
				names = append(names, fmt.Sprint(h.Name, h.Mode, n))
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		return names
	}
	parts, err := SplitTar(file, dir, 7)
	if err != nil || len(parts) != 7 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	if d := cmp.Diff(list(file), list(parts...)); d != "" {
		t.Errorf("(-whole +parts):\n%s", d)
	}
}

package page

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/cfs-project/cfs/bench"
)

// Geometry of a chart of lines.
const (
	linesHeight = 230
	plotLeft    = 54
	plotRight   = chartWidth - 14
	plotTop     = 12
	plotBottom  = linesHeight - 34
)

// A lineFigure is a chart of what depends on the number of layers.
type lineFigure struct {
	Name, About   string
	Label         string
	Width, Height int
	Left, Right   int
	Top, Bottom   int
	X, Y          []tick
	Lines         []line
	ID            string // of the clip path
}

type tick struct {
	At   float64
	Text string
}

// A line is one contestant's.
type line struct {
	Name, Class, Mark string
	Path              string // of SVG
	Points            []point
}

type point struct {
	X, Y, Low, High float64
	Title           string
	Shape           string // path of the mark
}

// depths is the chart of a series.
func depths(r *bench.Report, series string, columns []column) lineFigure {
	f := lineFigure{Name: heading(series), Width: chartWidth, Height: linesHeight, Left: plotLeft, Right: plotRight, Top: plotTop, Bottom: plotBottom,
		ID: "clip-" + strings.Join(strings.Fields(series), "-")}
	var of []bench.Line
	var unit string
	for _, l := range r.Workloads {
		if l.Series == series {
			of = append(of, l)
			f.About, unit = l.About, l.Unit
		}
	}
	slices.SortFunc(of, func(a, b bench.Line) int { return a.Depth - b.Depth })
	if len(of) == 0 {
		return f
	}
	first, last := math.Log(float64(of[0].Depth)), math.Log(float64(of[len(of)-1].Depth))
	x := func(depth int) float64 {
		if first == last {
			return (plotLeft + plotRight) / 2
		}
		return plotLeft + 8 + (math.Log(float64(depth))-first)/(last-first)*(plotRight-plotLeft-16)
	}
	low, high := math.Inf(1), 0.0
	for _, l := range of {
		for _, c := range columns {
			if m, ok := r.Result(l.Name, c.Name); ok && m.Median > 0 && c.Kind != bench.Limit {
				low, high = min(low, float64(m.Median)), max(high, float64(m.Median))
			}
		}
		f.X = append(f.X, tick{x(l.Depth), fmt.Sprint(l.Depth)})
	}
	if high == 0 {
		return f
	}
	// Powers of ten, as contestants differ by such.
	from, to := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	if from == to {
		to++
	}
	y := func(v float64) float64 {
		at := (math.Log10(max(v, 1)) - from) / (to - from)
		return plotBottom - min(max(at, -0.1), 1.1)*(plotBottom-plotTop)
	}
	for e := from; e <= to; e++ {
		f.Y = append(f.Y, tick{y(math.Pow(10, e)), power(int64(math.Pow(10, e)), unit)})
	}
	f.Label = series + " against the number of layers:"
	for _, c := range columns {
		if c.Kind == bench.Limit && series == "mount" {
			continue // nothing is mounted
		}
		ln := line{Name: c.Name, Class: c.Class, Mark: c.Mark}
		var path strings.Builder
		for _, l := range of {
			m, ok := r.Result(l.Name, c.Name)
			if !ok {
				continue
			}
			p := point{X: x(l.Depth), Y: y(float64(m.Median)), Low: y(float64(m.Interval[0])), High: y(float64(m.Interval[1])),
				Title: fmt.Sprintf("%s, %s: %s", c.Name, l.Name, value(m.Median, m.Unit))}
			p.Shape = shape(c.Mark, p.X, p.Y)
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(len(ln.Points), 1)], p.X, p.Y)
			ln.Points = append(ln.Points, p)
			f.Label += fmt.Sprintf(" %s;", p.Title)
		}
		if len(ln.Points) > 0 {
			ln.Path = path.String()
			f.Lines = append(f.Lines, ln)
		}
	}
	return f
}

// power is a power of ten for the axis.
func power(v int64, unit string) string {
	s := value(v, unit)
	if i := strings.IndexByte(s, '.'); i >= 0 && unit == "" { // 1.00ms, 10.0ms
		j := i + 1
		for j < len(s) && s[j] == '0' {
			j++
		}
		return s[:i] + s[j:]
	}
	return s
}

// shape is the path of a mark around a point: colour alone tells nobody apart who sees
// none.
func shape(mark string, x, y float64) string {
	const r = 4.0
	switch mark {
	case "square":
		return fmt.Sprintf("M%.1f %.1fh%[3]gv%[3]gh-%[3]gz", x-r, y-r, 2*r)
	case "triangle":
		return fmt.Sprintf("M%.1f %.1fl%g %gh-%gz", x, y-r-1, r+1, 2*r+1, 2*(r+1))
	case "diamond":
		return fmt.Sprintf("M%.1f %.1fl%[3]g %[3]gl-%[3]g %[3]gl-%[3]g -%[3]gz", x, y-r-1, r+1)
	case "cross":
		return fmt.Sprintf("M%.1f %.1fh3v3h3v3h-3v3h-3v-3h-3v-3h3z", x-1.5, y-4.5)
	}
	return fmt.Sprintf("M%.1f %.1fa%[3]g %[3]g 0 1 0 %[4]g 0a%[3]g %[3]g 0 1 0 -%[4]g 0z", x-r, y, r, 2*r)
}

// LegendShape is a line's mark alone, for the legend.
func (l line) LegendShape() string { return shape(l.Mark, 7, 7) }

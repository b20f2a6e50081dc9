package page

import (
	"fmt"
	"slices"

	"github.com/cfs-project/cfs/bench"
)

// Geometry of a chart of bars, in the units of its viewBox, which are pixels on a
// phone.
const (
	chartWidth = 350
	labelWidth = 102 // the names, left of the bars
	valueWidth = 74  // the values, right of them
	barPitch   = 21  // from bar to bar
	barHeight  = 13
	barsLeft   = labelWidth + 4
	barsWidth  = chartWidth - barsLeft - valueWidth
)

// bars is a chart of one bar a contestant.
type bars struct {
	Label         string // for who can't see it
	Width, Height int
	Bars          []bar
}

type bar struct {
	Name, Class    string
	Value          string
	TextY, Y       int
	X, W           float64
	ValueX         float64
	Cut            bool    // it is longer than the chart
	Low, High, Mid float64 // the interval's ends, and at what height it is drawn
	Spread         bool    // there is an interval to draw
}

// A measure is what a bar shows.
type measure struct {
	column
	value, low, high float64
	text             string
	spread           bool
}

// cutFactor is how many times longer than the median of all a bar may be before it is
// cut, so that the others can be told from each other.
const cutFactor = 4

func newBars(label string, all []measure) bars {
	b := bars{Label: label, Width: chartWidth, Height: len(all)*barPitch + 4}
	var values []float64
	for _, m := range all {
		values = append(values, m.value)
	}
	slices.Sort(values)
	top := 0.0
	if n := len(values); n > 0 {
		top = values[n-1]
		if most := cutFactor * values[n/2]; values[n/2] > 0 && top > 1.5*most {
			top = most
			// What is not cut has to fit.
			for _, v := range values {
				if v <= most {
					top = max(v, 2*values[n/2])
				}
			}
		}
	}
	for _, m := range all { // intervals, as far as they don't make the bars short
		if m.value <= top && m.spread {
			top = max(top, min(m.high, 1.5*m.value))
		}
	}
	scale := func(v float64) float64 {
		if top == 0 {
			return 0
		}
		return min(v/top, 1) * barsWidth
	}
	for i, m := range all {
		y := i*barPitch + 4
		x := bar{Name: m.Name, Class: m.Class, Value: m.text, Y: y, TextY: y + barHeight - 2, X: barsLeft, W: max(scale(m.value), 1), Mid: float64(y) + barHeight/2.0}
		x.Cut = m.value > top
		if m.spread && !x.Cut {
			x.Spread, x.Low, x.High = true, barsLeft+scale(m.low), barsLeft+scale(m.high)
		}
		x.ValueX = max(barsLeft+x.W, x.High) + 5
		b.Bars = append(b.Bars, x)
	}
	return b
}

// workload is the chart of one workload.
func workload(r *bench.Report, l bench.Line, columns []column) bars {
	var all []measure
	label := l.Name + ":"
	for _, c := range columns {
		x, ok := r.Result(l.Name, c.Name)
		if !ok {
			continue
		}
		m := measure{c, float64(x.Median), float64(x.Interval[0]), float64(x.Interval[1]), value(x.Median, x.Unit), len(x.Samples) > 1}
		if x.Cached { // what that is stands below
			m.text += "*"
		}
		label += " " + c.Name + " " + m.text + ";"
		all = append(all, m)
	}
	return newBars(label, all)
}

// ranking is the chart of a verdict.
func ranking(v bench.Verdict, columns []column) bars {
	var all []measure
	label := v.Use + ":"
	for _, x := range v.Ranking {
		i := slices.IndexFunc(columns, func(c column) bool { return c.Name == x.Driver })
		if i < 0 {
			continue
		}
		m := measure{columns[i], x.Score, x.Low, x.High, fmt.Sprintf("%.2f", x.Score), true}
		label += " " + x.Driver + " " + m.text + ";"
		all = append(all, m)
	}
	return newBars(label, all)
}

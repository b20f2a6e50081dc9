package page

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/cfs-project/cfs/bench"
)

// figures are those of the page that the README shows.
const figures = "testdata/report.json"

func read(t *testing.T) *bench.Report {
	t.Helper()
	r, err := bench.ReadReport(figures)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// charts is how many a page of a report has.
func charts(r *bench.Report) int {
	v := newView(r)
	n := len(v.Verdicts)
	for _, g := range v.Groups {
		n += len(g.Bars) + len(g.Lines)
	}
	return n
}

func TestHTML(t *testing.T) {
	r := read(t)
	page, err := HTML(r)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(page, []byte(`<svg class="chart"`)); n == 0 || n != charts(r) {
		t.Errorf("%d charts, want %d", n, charts(r))
	}
	for _, never := range []string{"<script", "<link", "src=", "@import", "url(http", "NaN", "Inf", "ZgotmplZ", "%!"} {
		if bytes.Contains(page, []byte(never)) {
			t.Errorf("the page has %q", never)
		}
	}
	// A report that has next to nothing has a page, too.
	empty := &bench.Report{}
	if page, err := HTML(empty); err != nil || !bytes.Contains(page, []byte("All figures")) {
		t.Errorf("%v\n%s", err, page)
	}
}

// What a report holds is text, whatever it is.
func TestEscaped(t *testing.T) {
	r := read(t)
	const tag = `<i a="b">&`
	var change func(v reflect.Value)
	change = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				change(v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() && f.Name != "Kind" && f.Name != "Unit" && f.Name != "Group" {
					change(v.Field(i))
				}
			}
		case reflect.Slice:
			for i := range v.Len() {
				change(v.Index(i))
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				if k.Kind() == reflect.String && v.Type().Elem().Kind() == reflect.String {
					v.SetMapIndex(k, reflect.ValueOf(v.MapIndex(k).String()+tag))
					v.SetMapIndex(reflect.ValueOf(k.String()+tag), v.MapIndex(k))
				}
			}
		case reflect.String:
			v.SetString(v.String() + tag)
		}
	}
	change(reflect.ValueOf(r).Elem())
	page, err := HTML(r)
	if err != nil {
		t.Fatal(err)
	}
	if i := bytes.Index(page, []byte("<i")); i >= 0 {
		t.Errorf("not escaped: %q", page[max(0, i-200):i+20])
	}
	if n := bytes.Count(page, []byte("&lt;i a=&#34;b&#34;&gt;&amp;")); n < len(r.Results) {
		t.Errorf("the tag is there %d times", n)
	}
}

func TestBars(t *testing.T) {
	all := []measure{
		{column: column{Entrant: bench.Entrant{Name: "a"}}, value: 10, low: 9, high: 11, text: "10", spread: true},
		{column: column{Entrant: bench.Entrant{Name: "b"}}, value: 20, text: "20"},
		{column: column{Entrant: bench.Entrant{Name: "c"}}, value: 15, text: "15"},
	}
	b := newBars("", all)
	if b.Bars[1].W != barsWidth || b.Bars[0].W != barsWidth/2.0 || b.Bars[0].Cut || !b.Bars[0].Spread || b.Bars[1].Spread {
		t.Errorf("%+v", b)
	}
	if x := b.Bars[0]; !(x.Low < x.X+x.W && x.X+x.W < x.High) {
		t.Errorf("the interval is not around the bar's end: %+v", x)
	}
	all = append(all, measure{column: column{Entrant: bench.Entrant{Name: "d"}}, value: 10000, low: 9000, high: 11000, text: "10000", spread: true})
	b = newBars("", all)
	if x := b.Bars[3]; !x.Cut || x.W != barsWidth || x.Spread {
		t.Errorf("a bar of many times the others': %+v", x)
	}
	if b.Bars[0].W < barsWidth/8.0 {
		t.Errorf("the others can't be told apart: %+v", b.Bars)
	}
	for _, x := range b.Bars {
		if end := x.ValueX + 7*float64(len(x.Value)); end > chartWidth {
			t.Errorf("the value ends at %v of %d: %+v", end, chartWidth, x)
		}
	}
	if b := newBars("", []measure{{text: "0"}}); b.Bars[0].Cut || b.Bars[0].W != 1 {
		t.Errorf("nothing: %+v", b)
	}
}

func TestWinner(t *testing.T) {
	rank := func(names ...string) verdict {
		v := verdict{Verdict: bench.Verdict{Ranking: []bench.Rank{{Driver: "first"}}}}
		for _, n := range names {
			v.Ranking = append(v.Ranking, bench.Rank{Driver: strings.TrimPrefix(n, "="), Tied: strings.HasPrefix(n, "=")})
		}
		return v
	}
	for want, v := range map[string]verdict{
		"first": rank("b", "c"), "first or b": rank("=b", "c"), "first, b or c": rank("=b", "=c", "d"),
	} {
		if got := v.Winner(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

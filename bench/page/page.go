package page

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/template"
	"unicode"
	"unicode/utf8"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/bench/contest"
)

//go:embed page.html
var source string

// parsed is read when it is first needed: most commands never do. It is no html/template,
// which every start of the program would pay for: what is text is escaped by it
// explicitly.
var parsed = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{"sentence": sentence}).Parse(source))
})

// HTML is the report as a page.
func HTML(r *bench.Report) ([]byte, error) {
	var b bytes.Buffer
	if err := parsed().Execute(&b, newView(r)); err != nil {
		return nil, fmt.Errorf("make the page: %w", err)
	}
	return b.Bytes(), nil
}

// A view is what the template is given.
type view struct {
	Report     *bench.Report
	Warning    string // of a noisy host; may be empty
	Verdicts   []verdict
	Groups     []group
	Columns    []column
	Beside     string // who is measured beside the drivers; may be empty
	Conditions []string
	Absent     []bench.Entrant
	Cached     []string // results that should have been cold
	Failures   []bench.Skip
}

// A column is a contestant in the charts and the table.
type column struct {
	bench.Entrant
	Class string // its colour, in page.html
	Mark  string // its shape in charts of lines
}

type verdict struct {
	bench.Verdict
	Chart bars
}

// A group is what is under one heading.
type group struct {
	Name  string
	Bars  []figure
	Lines []lineFigure
	Rows  []row // of the table
}

// A figure is a chart of one workload.
type figure struct {
	bench.Line
	Chart bars
}

// Title is the workload without the state, which stands beside it.
func (f figure) Title() string { return strings.TrimSuffix(f.Name, ", "+f.State) }

type row struct {
	bench.Line
	Cells []cell
}

type cell struct {
	Text, Spread string
	Why          string // there is nothing; may be empty
	Best         bool   // of cfs's drivers
}

// title is a group's heading.
func title(group string) string {
	switch group {
	case bench.GroupStart:
		return "Starting containers"
	case bench.GroupMetadata:
		return "Looking around and reading"
	case bench.GroupFiles:
		return "Many small files"
	case bench.GroupIO:
		return "Large files"
	case bench.GroupCopyUp:
		return "Copy-up: the first change of what the image brings"
	case bench.GroupDepth:
		return "Cost against the number of layers"
	case bench.GroupCommit:
		return "What a container changed"
	case bench.GroupApps:
		return "Programs at work"
	case bench.GroupShare:
		return "Several containers of one image"
	case bench.GroupSpace:
		return "Disk"
	}
	return heading(group)
}

func newView(r *bench.Report) view {
	v := view{Report: r, Conditions: contest.Conditions(r), Failures: contest.Failures(r), Cached: contest.Cached(r), Columns: columns(r)}
	v.Beside = beside(v.Columns)
	if n := r.Conditions.Noise; n != nil && n.Noisy {
		v.Warning = n.String()
	}
	for _, x := range r.Verdicts {
		v.Verdicts = append(v.Verdicts, verdict{x, ranking(x, v.Columns)})
	}
	for _, e := range r.Contestants {
		if !e.Usable {
			v.Absent = append(v.Absent, e)
		}
	}
	for _, name := range bench.Groups() {
		if g := newGroup(r, name, v.Columns); len(g.Rows) > 0 {
			v.Groups = append(v.Groups, g)
		}
	}
	return v
}

// beside tells who stands beside the drivers, for who has not met them.
func beside(columns []column) string {
	var all, peers []string
	for _, c := range columns {
		switch c.Kind {
		case bench.Limit:
			all = append(all, c.Name+", the extracted tree itself, which is the limit")
		case bench.Reference:
			all = append(all, c.Name+", the kernel's union by itself, which is the reference")
		case bench.Peer:
			peers = append(peers, c.Name)
		}
	}
	if len(peers) > 0 {
		all = append(all, strings.Join(peers, ", ")+", which are not cfs's")
	}
	if len(all) == 0 {
		return ""
	}
	return "In strong colours: cfs's drivers, of which one is chosen. In grey and pale, to compare with: " + strings.Join(all, "; ") + "."
}

// value is a median, with a narrow space before its unit.
func value(v int64, unit string) string {
	s := contest.Value(v, unit)
	if i := strings.IndexFunc(s, unicode.IsLetter); i > 0 {
		return s[:i] + "\u202f" + s[i:]
	}
	return s
}

// columns are the contestants with results, each with a colour of its own.
func columns(r *bench.Report) []column {
	var all []column
	marks := []string{"circle", "square", "triangle", "diamond", "cross"}
	driver, peer := 0, 0
	for _, name := range contest.Columns(r) {
		i := slices.IndexFunc(r.Contestants, func(e bench.Entrant) bool { return e.Name == name })
		c := column{Entrant: r.Contestants[i], Mark: marks[len(all)%len(marks)]}
		switch c.Kind {
		case bench.Driver:
			driver++
			c.Class = fmt.Sprintf("driver%d", (driver-1)%8+1)
		case bench.Peer:
			peer++
			c.Class = fmt.Sprintf("peer%d", (peer-1)%4+1)
		default:
			c.Class = string(c.Kind)
		}
		all = append(all, c)
	}
	return all
}

func newGroup(r *bench.Report, name string, columns []column) group {
	g := group{Name: title(name)}
	var series []string
	for _, l := range r.Workloads {
		if l.Group != name {
			continue
		}
		rw, any := newRow(r, l, columns)
		if !any {
			continue
		}
		g.Rows = append(g.Rows, rw)
		if l.Series == "" {
			g.Bars = append(g.Bars, figure{l, workload(r, l, columns)})
		} else if !slices.Contains(series, l.Series) {
			series = append(series, l.Series)
		}
	}
	for _, s := range series {
		g.Lines = append(g.Lines, depths(r, s, columns))
	}
	return g
}

// newRow is a workload's line of the table, and whether there is anything in it.
func newRow(r *bench.Report, l bench.Line, columns []column) (row, bool) {
	rw := row{Line: l}
	any, best, bestValue := false, -1, int64(0)
	for i, c := range columns {
		x, ok := r.Result(l.Name, c.Name)
		if !ok {
			rw.Cells = append(rw.Cells, cell{Why: why(r, l.Name, c.Name)})
			continue
		}
		any = true
		out := cell{Text: value(x.Median, x.Unit)}
		if len(x.Samples) > 1 {
			out.Spread = fmt.Sprintf("±%.0f %%", contest.Spread(x))
		}
		if x.Cached {
			out.Spread = "cached"
		}
		rw.Cells = append(rw.Cells, out)
		if c.Kind == bench.Driver && !x.Cached && (best < 0 || x.Median < bestValue) {
			best, bestValue = i, x.Median
		}
	}
	if best >= 0 {
		rw.Cells[best].Best = true
	}
	return rw, any
}

func why(r *bench.Report, workload, contestant string) string {
	for _, s := range r.Skipped {
		if s.Workload == workload && s.Contestant == contestant {
			return s.Reason
		}
	}
	return ""
}

// heading begins with a capital letter.
func heading(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

// sentence is one with a capital letter and a full stop.
func sentence(s string) string {
	if s == "" || strings.HasSuffix(s, ".") {
		return heading(s)
	}
	return heading(s) + "."
}

// Winner is the best driver, with those that can't be told from it.
func (v verdict) Winner() string {
	s := v.Ranking[0].Driver
	var tied []string
	for _, x := range v.Ranking[1:] {
		if x.Tied {
			tied = append(tied, x.Driver)
		}
	}
	for i, d := range tied {
		between := ", "
		if i == len(tied)-1 {
			between = " or "
		}
		s += between + d
	}
	return s
}

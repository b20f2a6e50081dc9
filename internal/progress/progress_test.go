package progress

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A screen is a terminal of so many rows that knows the sequences this package
// writes. Lines that scrolled off its top are history: nothing reaches them.
type screen struct {
	t       *testing.T
	columns int
	rows    int
	lines   []string // all that were ever there
	at      int      // the cursor's line
	last    int      // the lowest it has been on
}

func (s *screen) Write(p []byte) (int, error) {
	rest := string(p)
	for rest != "" {
		if len(s.lines) == s.at {
			s.lines = append(s.lines, "")
		}
		switch {
		case strings.HasPrefix(rest, "\x1b[K"):
			s.lines[s.at] = ""
			rest = rest[3:]
		case strings.HasPrefix(rest, "\x1b[J"):
			s.lines = s.lines[:s.at]
			rest = rest[3:]
		case strings.HasPrefix(rest, "\x1b["):
			n, tail, ok := strings.Cut(rest[2:], "A")
			up, err := strconv.Atoi(n)
			if !ok || err != nil || up == 0 {
				s.t.Fatalf("unknown sequence %q", rest)
			}
			s.at -= up
			if top := s.last - s.rows + 1; s.at < top {
				s.t.Errorf("the cursor is moved above the screen: to %d of %d", s.at, top)
			}
			rest = tail
		case rest[0] == '\r':
			rest = rest[1:]
		case rest[0] == '\n':
			s.at++
			s.last = max(s.last, s.at)
			rest = rest[1:]
		default:
			text := rest
			if n := strings.IndexAny(rest, "\x1b\r\n"); n >= 0 {
				text = rest[:n]
			}
			s.lines[s.at] += text
			rest = rest[len(text):]
			if n := len([]rune(s.lines[s.at])); n >= s.columns {
				s.t.Errorf("a line of %d characters on %d columns: %q", n, s.columns, s.lines[s.at])
			}
		}
	}
	return len(p), nil
}

func onScreen(t *testing.T, columns, rows int) (*Group, *screen) {
	s := &screen{t: t, columns: columns, rows: rows}
	g := New(s, Bars)
	g.size = func() (int, int) { return columns, rows }
	return g, s
}

// now forgets when the last drawing was, so that the next state is drawn.
func (g *Group) now() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = time.Time{}
}

func TestBars(t *testing.T) {
	g, s := onScreen(t, 120, 24)
	a, b := g.Item("f606d8928ed3"), g.Item("ac8a9ceabc66")
	a.State("Downloading", 25, 100)
	g.now()
	b.State("Waiting", 0, 0)
	want := []string{
		"f606d8928ed3: Downloading [" + strings.Repeat("=", 12) + ">" + strings.Repeat(" ", 38) + "]      25B/100B",
		"ac8a9ceabc66: Waiting",
	}
	if got := strings.Join(s.lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("drawn:\n%s", got)
	}
	g.now()
	a.State("Downloading", 100, 100)
	if want := "[" + strings.Repeat("=", 50) + ">]     100B/100B"; !strings.HasSuffix(s.lines[0], want) {
		t.Errorf("a whole bar is %q", s.lines[0])
	}
	a.Done("Pull complete")
	a.State("Downloading", 1, 2) // comes late
	b.Done("Already exists")
	g.Close()
	b.State("Downloading", 1, 2)
	if got := strings.Join(s.lines, "\n"); got != "f606d8928ed3: Pull complete\nac8a9ceabc66: Already exists" {
		t.Errorf("at the end:\n%s", got)
	}
}

// What can't be held against a total is a number, and what exceeds it is too.
func TestAmountWithoutTotal(t *testing.T) {
	for _, total := range []int64{0, 10} {
		g, s := onScreen(t, 80, 24)
		g.Item("x").State("Loading", 2_500_000, total)
		g.Close()
		if got := s.lines[0]; got != "x: Loading    2.5MB" {
			t.Errorf("of %d: %q", total, got)
		}
	}
}

// However small the terminal, and however many items, no line wraps, none that
// has scrolled away is drawn over, and at the end every item was there once more.
func TestSmallTerminals(t *testing.T) {
	for _, size := range [][2]int{{20, 3}, {2, 2}, {40, 10}, {200, 5}} {
		g, s := onScreen(t, size[0], size[1])
		var items []*Item
		for n := range 30 {
			items = append(items, g.Item(fmt.Sprintf("item-%02d", n)))
		}
		for round := range 4 {
			for n, i := range items {
				g.now()
				if round == 3 || n < 10*round {
					i.Done("Complete")
				} else {
					i.State("Loading", int64(n), 30)
				}
			}
		}
		g.Close()
		if size[0] < minColumns {
			continue // the lines are cut, or not drawn
		}
		for n := range items {
			if !strings.Contains(strings.Join(s.lines, "\n"), fmt.Sprintf("item-%02d: Complete", n)) {
				t.Errorf("%v: the end of item %d is not seen", size, n)
			}
		}
		if n := len(s.lines); n != 30 {
			t.Errorf("%v: %d lines", size, n)
		}
	}
}

func TestLines(t *testing.T) {
	var b bytes.Buffer
	g := New(&b, StyleFor(&b, false))
	a := g.Item("f606d8928ed3")
	a.State("Pulling fs layer", 0, 0)
	a.State("Downloading", 1, 10)
	a.State("Downloading", 10, 10)
	a.State("Verifying Checksum", 0, 0)
	a.State("Verifying Checksum", 0, 0)
	a.Done("Pull complete")
	g.Close()
	want := "f606d8928ed3: Pulling fs layer\nf606d8928ed3: Verifying Checksum\nf606d8928ed3: Pull complete\n"
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

func TestQuiet(t *testing.T) {
	var b bytes.Buffer
	g := New(&b, StyleFor(os.Stdout, true))
	g.Item("x").Done("Pull complete")
	g.Close()
	if b.Len() > 0 {
		t.Errorf("said %q", b.String())
	}
}

// Many goroutines, one screen.
func TestConcurrent(t *testing.T) {
	g, s := onScreen(t, 100, 8)
	var wg sync.WaitGroup
	for n := range 20 {
		i := g.Item(fmt.Sprintf("i%d", n))
		wg.Go(func() {
			for k := range int64(200) {
				i.State("Loading", k, 200)
			}
			i.Done("Complete")
		})
	}
	wg.Wait()
	g.Close()
	g.Close()
	if len(s.lines) != 20 || strings.Contains(strings.Join(s.lines, "\n"), "Loading") {
		t.Errorf("at the end:\n%s", strings.Join(s.lines, "\n"))
	}
}

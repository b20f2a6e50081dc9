package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// A Style is how a group is shown.
type Style int

const (
	Quiet Style = iota // not at all
	Lines              // a line for each new state, for files and pipes
	Bars               // drawn in place, for a terminal
)

// StyleFor is what suits w: Bars for a terminal, Lines for anything else, and
// Quiet if that is wanted.
func StyleFor(w io.Writer, quiet bool) Style {
	switch f, ok := w.(*os.File); {
	case quiet:
		return Quiet
	case ok && term.IsTerminal(int(f.Fd())):
		return Bars
	}
	return Lines
}

// interval is how long a drawing stays: faster than eyes are, and slow enough
// to cost nothing.
const interval = 100 * time.Millisecond

// A Group is what is shown together. Its methods and those of its items may be
// called from any number of goroutines.
type Group struct {
	w     io.Writer
	style Style
	size  func() (columns, rows int)

	mu     sync.Mutex // protects the rest
	items  []*Item
	fixed  int // how many of the first items are drawn for good
	drawn  int // lines below those, which the next drawing replaces
	last   time.Time
	timer  *time.Timer // a drawing to come; nil when there is none
	closed bool
}

// New begins a group on w. The caller closes it.
func New(w io.Writer, style Style) *Group {
	return &Group{w: w, style: style, size: func() (int, int) { return sizeOf(w) }}
}

// sizeOf is the size of a terminal; 80 by 24 when it doesn't tell.
func sizeOf(w io.Writer) (columns, rows int) {
	if f, ok := w.(*os.File); ok {
		if c, r, err := term.GetSize(int(f.Fd())); err == nil && c > 0 && r > 0 {
			return c, r
		}
	}
	return 80, 24
}

// An Item is one line of a group.
type Item struct {
	g           *Group
	id          string
	word        string // protected by g.mu, as the rest
	done, total int64
	finished    bool
	started     time.Time // of this word, for the time left
}

// Item adds a line. It is seen when it has a state.
func (g *Group) Item(id string) *Item {
	i := &Item{g: g, id: id}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.items = append(g.items, i)
	return i
}

// State says what is being done to the item, and how much of it: done of total
// bytes. A total of 0 is not known; 0 of 0 is a state without an amount, and what
// Lines prints: amounts are for bars only, as they are for Docker.
func (i *Item) State(word string, done, total int64) { i.set(word, done, total, false) }

// Done is the item's last state.
func (i *Item) Done(word string) { i.set(word, 0, 0, true) }

func (i *Item) set(word string, done, total int64, finished bool) {
	g := i.g
	if g.style == Quiet {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i.finished || g.closed {
		return
	}
	fresh := i.word != word
	if fresh {
		i.started = time.Now()
	}
	i.word, i.done, i.total, i.finished = word, done, total, finished
	switch {
	case g.style == Bars:
		g.drawSoon()
	case fresh && done == 0 && total == 0:
		fmt.Fprintf(g.w, "%s: %s\n", i.id, word)
	}
}

// Close shows the last states, and leaves the cursor below them.
func (g *Group) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed = true
	if g.timer != nil {
		g.timer.Stop()
	}
	if g.style == Bars {
		g.draw(true)
	}
}

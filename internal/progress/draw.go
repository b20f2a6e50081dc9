package progress

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// drawSoon draws now, or when the last drawing has been there long enough.
func (g *Group) drawSoon() {
	if g.timer != nil {
		return
	}
	wait := interval - time.Since(g.last)
	if wait <= 0 {
		g.draw(false)
		return
	}
	g.timer = time.AfterFunc(wait, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.timer = nil
		if !g.closed {
			g.draw(false)
		}
	})
}

// On a terminal smaller than this only the last drawing is made.
const (
	minColumns = 20
	minRows    = 3
)

// draw replaces the lines of the drawing before. Where there are more items than
// the terminal has rows, the finished ones at the top are left to scroll away,
// and of the rest those are counted that don't fit; the last drawing has all.
func (g *Group) draw(last bool) {
	columns, rows := g.size()
	if !last && (columns < minColumns || rows < minRows) {
		return
	}
	var b bytes.Buffer
	if g.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", g.drawn) // up
	}
	room := rows - 1 // the cursor is below
	live := g.items[g.fixed:]
	for !last && len(live) > room && live[0].finished {
		live[0].line(&b, columns)
		live = live[1:]
		g.fixed++
	}
	hidden := 0
	if !last && len(live) > room {
		hidden = len(live) - room + 1
		live = live[:room-1]
	}
	g.drawn = 0
	for _, i := range live {
		if i.word != "" {
			i.line(&b, columns)
			g.drawn++
		}
	}
	if hidden > 0 {
		fmt.Fprintf(&b, "\r\x1b[K… and %d more\n", hidden)
		g.drawn++
	}
	b.WriteString("\x1b[J") // what the drawing before had below
	_, _ = g.w.Write(b.Bytes())
	g.last = time.Now()
}

// line writes the item's line, cut where the terminal ends.
func (i *Item) line(b *bytes.Buffer, columns int) {
	text := i.id + ": " + i.word
	if amount := i.amount(columns - len(text) - 1); amount != "" {
		text += " " + amount
	}
	if r := []rune(text); len(r) >= columns {
		text = string(r[:max(columns-1, 0)]) // a full line would wrap on some terminals
	}
	fmt.Fprintf(b, "\r\x1b[K%s\n", text)
}

// barWidth is Docker's, where the terminal is wide enough.
const barWidth = 50

// amount is the bar, the numbers and the time left, as far as there is room for
// them.
func (i *Item) amount(room int) string {
	if i.total <= 0 {
		if i.done <= 0 {
			return ""
		}
		return fmt.Sprintf("%8s", units.HumanSize(float64(i.done)))
	}
	if i.done > i.total {
		return fmt.Sprintf("%8s", units.HumanSize(float64(i.done)))
	}
	numbers := fmt.Sprintf("%8s/%s", units.HumanSize(float64(i.done)), units.HumanSize(float64(i.total)))
	if left := i.timeLeft(); left >= time.Second {
		numbers += fmt.Sprintf("  %v", left.Round(time.Second))
	}
	// "[", ">", "]" and a space around the bar, and the longest time left.
	width := min(barWidth, room-4-len("100.0MB/100.0MB  1h00m00s"))
	if width < 10 {
		return numbers
	}
	n := int(float64(width) * float64(i.done) / float64(i.total))
	return "[" + strings.Repeat("=", n) + ">" + strings.Repeat(" ", width-n) + "] " + numbers
}

// timeLeft is what the rest takes at the speed so far, once there is one.
func (i *Item) timeLeft() time.Duration {
	so := time.Since(i.started)
	if i.done <= 0 || so < 2*time.Second {
		return 0
	}
	return time.Duration(float64(so) * float64(i.total-i.done) / float64(i.done))
}

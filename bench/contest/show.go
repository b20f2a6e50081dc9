package contest

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/cfs-project/cfs/internal/progress"
)

// A show is the progress of a benchmark: a line for each group of workloads.
type show struct {
	group *progress.Group
	item  *progress.Item
	name  string
	bars  bool
}

func newShow(w io.Writer, style progress.Style) *show {
	return &show{group: progress.New(w, style), bars: style == progress.Bars}
}

// begin says how long all that is planned is expected to take.
func (s *show) begin(p *plan, contestants int) {
	s.group.Item("plan").Done(fmt.Sprintf("%d steps, %d contestants, up to %d rounds: about %s", len(p.steps), contestants, p.most, spoken(p.left(time.Now()))))
}

// step says what is done now, which the plan has begun.
func (s *show) step(group, what string, p *plan) {
	if group != s.name {
		if s.item != nil {
			s.item.Done("done")
		}
		s.item, s.name = s.group.Item(group), group
	}
	if s.bars {
		what = fmt.Sprintf("%s   (%d of %d, about %s left)", what, p.next, len(p.steps), spoken(p.left(time.Now())))
	}
	s.item.State(what, 0, 0)
}

// spoken is a time as people say it: in minutes, or in seconds if it is short.
func spoken(d time.Duration) string {
	if d < 90*time.Second {
		return fmt.Sprintf("%d s", int(math.Ceil(d.Seconds()/5))*5)
	}
	return fmt.Sprintf("%d min", int(math.Round(d.Minutes())))
}

func (s *show) close() {
	if s.item != nil {
		s.item.Done("done")
		s.item = nil
	}
	s.group.Close()
}

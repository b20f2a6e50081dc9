package contest

import (
	"fmt"
	"io"
	"time"

	"github.com/cfs-project/cfs/internal/progress"
)

// A show is the progress of a benchmark: a line for each group of workloads.
type show struct {
	group       *progress.Group
	item        *progress.Item
	name        string
	bars        bool
	done, total int
	began       time.Time
}

func newShow(w io.Writer, style progress.Style) *show {
	return &show{group: progress.New(w, style), bars: style == progress.Bars, began: time.Now()}
}

// left is how many steps are to come after the one that is shown.
func (s *show) left() int { return max(0, s.total-s.done) }

// step says what is done now.
func (s *show) step(group, what string) {
	if group != s.name {
		if s.item != nil {
			s.item.Done("done")
		}
		s.item, s.name = s.group.Item(group), group
	}
	if s.bars && s.done > 0 {
		left := time.Duration(float64(time.Since(s.began)) * float64(s.total-s.done) / float64(s.done))
		what = fmt.Sprintf("%s   (%d of %d, about %v left)", what, s.done+1, s.total, left.Round(time.Second))
	}
	s.item.State(what, 0, 0)
	s.done++
}

func (s *show) close() {
	if s.item != nil {
		s.item.Done("done")
		s.item = nil
	}
	s.group.Close()
}

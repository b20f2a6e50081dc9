package imagecmd

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/imagecmd/dockerfile"
	"github.com/cfs-project/cfs/internal/progress"
)

// A buildTree shows a build on a terminal: a line a stage, and below it one a step,
// with how long it takes and the last line that it printed.
type buildTree struct {
	w     io.Writer
	group *progress.Group
	stop  chan struct{} // closed at the end

	mu     sync.Mutex // protects the rest, and the stages'
	stages map[*dockerfile.Stage]*stageTree
	order  []*stageTree
}

func newBuildTree(w io.Writer) *buildTree {
	return &buildTree{w: w, group: progress.New(w, progress.Bars), stop: make(chan struct{}), stages: map[*dockerfile.Stage]*stageTree{}}
}

// begin makes the lines, which are seen when there is something to say.
func (t *buildTree) begin(p *dockerfile.Plan) {
	for _, s := range p.Stages {
		x := &stageTree{t: t, head: t.group.Item("[" + s.Label() + "] " + firstLine(s.Source))}
		for _, c := range s.Commands {
			x.lines = append(x.lines, t.group.Item("   "+firstLine(sourceOf(c))))
		}
		t.stages[s] = x
		t.order = append(t.order, x)
	}
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				t.mu.Lock()
				for _, s := range t.order {
					s.show()
				}
				t.mu.Unlock()
			case <-t.stop:
				return
			}
		}
	}()
}

func (t *buildTree) stage(s *dockerfile.Stage) stageReport { return t.stages[s] }

// printf prints below the tree, which has ended.
func (t *buildTree) printf(format string, args ...any) { fmt.Fprintf(t.w, format, args...) }

// failed is nil: a terminal that is gone is told to the program by a signal.
func (t *buildTree) failed() error { return nil }

// end leaves the tree, and below it what the step printed that failed.
func (t *buildTree) end(err error) {
	select {
	case <-t.stop:
		return
	default:
		close(t.stop)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.order {
		if s.item != nil && err != nil {
			s.item.Done("stopped")
		}
	}
	t.group.Close()
	for _, s := range t.order {
		if s.item != nil && err != nil && s.said.Len() > 0 {
			fmt.Fprintf(t.w, "------\n%s", s.said.Bytes())
			if !bytes.HasSuffix(s.said.Bytes(), []byte("\n")) {
				fmt.Fprintln(t.w)
			}
			fmt.Fprintln(t.w, "------")
		}
	}
}

func firstLine(s string) string {
	line, _, more := strings.Cut(s, "\n")
	if more {
		line += " …"
	}
	return line
}

// A stageTree is one stage of the tree.
type stageTree struct {
	t     *buildTree
	head  *progress.Item
	lines []*progress.Item // of its steps
	first int              // number of the first of them; 0 until FROM

	item  *progress.Item // what is being done; nil: nothing
	began time.Time
	found bool         // it was not done anew
	said  bytes.Buffer // what the step has printed, its last maxQuiet bytes
}

func (s *stageTree) Write(b []byte) (int, error) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	s.said.Write(b)
	if over := s.said.Len() - maxQuiet; over > 0 {
		s.said.Next(over)
	}
	s.show()
	return len(b), nil
}

func (s *stageTree) errors() io.Writer                 { return s }
func (s *stageTree) printf(format string, args ...any) { fmt.Fprintf(s, format, args...) }
func (s *stageTree) triggers(int)                      {}
func (s *stageTree) running(string)                    {}
func (s *stageTree) removed(string)                    {}
func (s *stageTree) close()                            {}

func (s *stageTree) step(n int, _ string) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if s.first == 0 {
		s.first, s.item = n+1, s.head
	} else {
		s.item = s.lines[n-s.first]
	}
	s.began, s.found = time.Now(), false
	s.said.Reset()
	s.show()
}

func (s *stageTree) cached() {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	s.found = true
}

func (s *stageTree) made(id digest.Digest) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	word := fmt.Sprintf("%.1fs", time.Since(s.began).Seconds())
	if s.found {
		word = "CACHED"
	}
	s.item.Done(word)
	s.item = nil
}

// show says how far the step is.
func (s *stageTree) show() {
	if s.item == nil {
		return
	}
	word := "…"
	if so := time.Since(s.began); so >= time.Second {
		word = so.Truncate(time.Second).String()
	}
	lines := bytes.Split(bytes.TrimRight(s.said.Bytes()[max(0, s.said.Len()-1<<10):], "\r\n"), []byte("\n"))
	if last := plainLine(lines[len(lines)-1]); last != "" {
		word += "  " + last
	}
	s.item.State(word, 0, 0)
}

// plainLine is a line without what would move the cursor.
func plainLine(b []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, string(b)))
}

package imagecmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/imagecmd/dockerfile"
)

// A buildReport is how a build is shown: as lines, the default where nobody watches, as
// a tree on a terminal, or not at all.
type buildReport interface {
	// begin shows the stages of a plan; stage is one of them.
	begin(p *dockerfile.Plan)
	stage(s *dockerfile.Stage) stageReport
	printf(format string, args ...any)
	// end is called before the last lines, and with an error when there are none.
	end(err error)
	// failed is why what was shown could not be written, if it could not.
	failed() error
}

// A stageReport is how one stage is shown. What is written to it is what steps print.
type stageReport interface {
	io.Writer
	errors() io.Writer
	printf(format string, args ...any)
	step(n int, source string) // a step begins; the rest is about it
	triggers(n int)            // so many ONBUILDs are done, as a part of the step
	running(id string)
	removed(id string)
	cached()
	made(id digest.Digest) // what it has made; "" is nothing
	close()
}

// report is how the build is shown.
func (o BuildOptions) report(out io.Writer) (buildReport, error) {
	switch {
	case o.Quiet || o.Progress == "quiet":
		return newBuildPrinter(&quietWriter{to: o.Err}), nil
	case o.Progress == "tty" && !isTerminal(out):
		return nil, errors.New("--progress=tty needs a terminal")
	case (o.Progress == "" || o.Progress == "auto" || o.Progress == "tty") && isTerminal(out):
		return newBuildTree(out), nil
	}
	return newBuildPrinter(&shownWriter{to: out}), nil
}

// A shownWriter remembers the first error: a build goes on though nobody sees it.
type shownWriter struct {
	to  io.Writer
	mu  sync.Mutex
	err error
}

func (w *shownWriter) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	return n, err
}

// maxQuiet is how much of what a quiet build would have printed is kept, in bytes.
const maxQuiet = 1 << 20

// A quietWriter keeps what is printed, for the case that the build fails.
type quietWriter struct {
	to   io.Writer
	kept bytes.Buffer
}

func (q *quietWriter) Write(b []byte) (int, error) {
	q.kept.Write(b)
	if over := q.kept.Len() - maxQuiet; over > 0 {
		q.kept.Next(over)
	}
	return len(b), nil
}

// maxAhead is how much a stage prints before its turn, in bytes. Then it waits.
const maxAhead = 1 << 20

// A buildPrinter prints what Docker's classic builder does. Stages that are built at
// once are printed one after the other: of those that are not at their turn, what
// they print is kept.
type buildPrinter struct {
	w     io.Writer
	total int // steps

	mu      sync.Mutex
	changed *sync.Cond
	order   map[*dockerfile.Stage]int
	stages  []*stagePrinter
	turn    int // the stage that is printed
}

func newBuildPrinter(w io.Writer) *buildPrinter {
	p := &buildPrinter{w: w, order: map[*dockerfile.Stage]int{}}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// begin prints the global arguments, which are steps, too.
func (p *buildPrinter) begin(plan *dockerfile.Plan) {
	p.total = plan.Steps()
	for i := range plan.Meta {
		p.printf("Step %d/%d : %s\n", i+1, p.total, plan.Meta[i].String())
	}
	for i, s := range plan.Stages {
		p.order[s] = i
		p.stages = append(p.stages, &stagePrinter{p: p, i: i})
	}
}

func (p *buildPrinter) stage(s *dockerfile.Stage) stageReport { return p.stages[p.order[s]] }

func (p *buildPrinter) printf(format string, args ...any) { fmt.Fprintf(p.w, format, args...) }

func (p *buildPrinter) end(err error) {
	if q, ok := p.w.(*quietWriter); ok && err != nil && q.to != nil {
		_, _ = q.kept.WriteTo(q.to)
	}
}

func (p *buildPrinter) failed() error {
	w, ok := p.w.(*shownWriter)
	if !ok {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// A stagePrinter prints what one stage does.
type stagePrinter struct {
	p    *buildPrinter
	i    int
	kept bytes.Buffer // protected by p.mu, as the rest
	done bool
}

// Write prints, or keeps what is to be printed later.
func (s *stagePrinter) Write(b []byte) (int, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	for s.p.turn < s.i && s.kept.Len() > maxAhead {
		s.p.changed.Wait()
	}
	if s.p.turn < s.i {
		return s.kept.Write(b)
	}
	return s.p.w.Write(b)
}

// close ends the stage: the next one's turn comes.
func (s *stagePrinter) close() {
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	s.done = true
	for p.turn < len(p.stages) && p.stages[p.turn].done {
		if p.turn++; p.turn < len(p.stages) {
			_, _ = p.stages[p.turn].kept.WriteTo(p.w)
		}
	}
	p.changed.Broadcast()
}

func (s *stagePrinter) printf(format string, args ...any) { fmt.Fprintf(s, format, args...) }

func (s *stagePrinter) step(n int, source string) {
	s.printf("Step %d/%d : %s\n", n, s.p.total, source)
}
func (s *stagePrinter) cached()           { s.printf(" ---> Using cache\n") }
func (s *stagePrinter) running(id string) { s.printf(" ---> Running in %.12s\n", id) }
func (s *stagePrinter) removed(id string) { s.printf("Removing intermediate container %.12s\n", id) }

func (s *stagePrinter) triggers(n int) {
	if n == 1 {
		s.printf("# Executing 1 build trigger\n")
		return
	}
	s.printf("# Executing %d build triggers\n", n)
}

func (s *stagePrinter) made(id digest.Digest) {
	short := ""
	if id != "" {
		short = id.Encoded()[:12]
	}
	s.printf(" ---> %s\n", short)
}

// errors is where a step's standard error goes: Docker prints it in red.
func (s *stagePrinter) errors() io.Writer { return &redWriter{s, os.Getenv("NO_COLOR") == ""} }

type redWriter struct {
	w     io.Writer
	color bool
}

func (r *redWriter) Write(b []byte) (int, error) {
	out := b
	if r.color {
		out = fmt.Appendf(nil, "\x1b[91m%s\x1b[0m", b)
	}
	if _, err := r.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// An inlineReport is a stage that is shown as a part of another one's step.
type inlineReport struct{ stageReport }

func (r *inlineReport) step(_ int, source string) { r.printf("# %s\n", source) }
func (r *inlineReport) made(digest.Digest)        {}
func (r *inlineReport) close()                    {}

package imagecmd

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
)

// maxAhead is how much a stage prints before its turn, in bytes. Then it waits.
const maxAhead = 1 << 20

// A buildPrinter prints what Docker's classic builder does. Stages that are built at
// once are printed one after the other: of those that are not at their turn, what
// they print is kept.
type buildPrinter struct {
	w     io.Writer
	out   io.Writer // what is asked for, whatever else is printed
	total int       // steps

	mu      sync.Mutex
	changed *sync.Cond
	stages  []*stagePrinter
	turn    int // the stage that is printed
}

func newBuildPrinter(out io.Writer, o BuildOptions) *buildPrinter {
	p := &buildPrinter{w: out, out: out}
	p.changed = sync.NewCond(&p.mu)
	if o.Quiet || o.Progress == "quiet" {
		p.w = &quietWriter{}
	}
	return p
}

// A quietWriter keeps what is printed for the case that the build fails.
type quietWriter struct{ bytes.Buffer }

// stage is the printer of the i-th stage. They are made before the first is used.
func (p *buildPrinter) stage(i int) *stagePrinter {
	s := &stagePrinter{p: p, i: i}
	p.stages = append(p.stages, s)
	return s
}

// begin prints the global arguments, which are steps, too.
func (p *buildPrinter) begin(b *builder) {
	p.total = b.plan.Steps()
	for i := range b.plan.Meta {
		fmt.Fprintf(p.w, "Step %d/%d : %s\n", i+1, p.total, b.plan.Meta[i].String())
	}
}

// warn says what is no error.
func (p *buildPrinter) warn(text string) { fmt.Fprintf(p.w, "[Warning] %s\n", text) }

// A stagePrinter prints what one stage does.
type stagePrinter struct {
	p    *buildPrinter
	i    int
	kept bytes.Buffer // protected by p.mu, as the rest
	end  bool
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
	s.end = true
	for p.turn < len(p.stages) && p.stages[p.turn].end {
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

// made says what the step has made; "" is nothing.
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

package dockerfile

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/internal/hint"
)

// Scratch is the base that is no image.
const Scratch = "scratch"

// PlanOptions says what a build is for.
type PlanOptions struct {
	Target   string            // the name or number of a stage; "" is the last
	Args     map[string]string // --build-arg
	Contexts []string          // names of --build-context: they go before stages and images
	// Build is the platform that builds, For the one that is built for.
	Build, For ocispec.Platform
}

// A Plan is what a build has to do.
type Plan struct {
	Stages []*Stage // those that the target needs, in the order of the file
	Target *Stage
	Meta   []instructions.ArgCommand // global arguments, with their values
	Escape rune

	all     []*Stage
	options PlanOptions
	global  *variables

	mu   sync.Mutex
	used map[string]bool // arguments of the person that were declared; protected by mu
}

// A Stage is one stage of a plan.
type Stage struct {
	Index    int    // in the file
	Name     string // "" without
	Source   string // its FROM line as it is written
	Line     int
	Base     Source
	Platform string // --platform, variables put in; "" without
	Commands []instructions.Command
	Needs    []*Stage // what it copies from or stands on; each before it in the file

	needed bool
}

// Label is what people call the stage: its name, or else its number.
func (s *Stage) Label() string {
	if s.Name != "" {
		return s.Name
	}
	return strconv.Itoa(s.Index)
}

// A Source is where something comes from. One of the fields is set.
type Source struct {
	Stage   *Stage
	Context string // the name of a --build-context
	Image   string // as it is written, or [Scratch]
}

// IsZero tells that nothing was named, which means the build's own context.
func (s Source) IsZero() bool { return s == Source{} }

// Plan chooses the stages that a target needs. Stages that it doesn't need are
// not looked at further: they may even name what isn't there.
func (f *File) Plan(o PlanOptions) (*Plan, error) {
	p := &Plan{Escape: f.Escape, options: o, used: map[string]bool{}}
	if err := p.globals(f.Args); err != nil {
		return nil, err
	}
	for i := range f.Stages {
		if err := p.addStage(i, &f.Stages[i]); err != nil {
			return nil, lineError(lineOf(&f.Stages[i]), err)
		}
	}
	p.Target = p.all[len(p.all)-1]
	if o.Target != "" {
		if p.Target = p.find(o.Target, len(p.all)); p.Target == nil {
			return nil, p.noTarget()
		}
	}
	p.setTargetStage()
	if err := p.need(p.Target); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Plan) noTarget() error {
	var names []string
	for _, s := range p.all {
		names = append(names, s.Label())
	}
	there := "the stages are " + strings.Join(names, ", ")
	if len(names) == 1 {
		there = "the only stage is " + names[0]
	}
	return hint.With(fmt.Errorf("failed to reach build target %s in Dockerfile", p.options.Target), there)
}

// addStage takes in a stage, whose base it finds.
func (p *Plan) addStage(i int, written *instructions.Stage) error {
	s := &Stage{Index: i, Name: written.Name, Source: written.SourceCode, Line: lineOf(written), Commands: written.Commands}
	base, err := p.expandGlobal(written.BaseName)
	if err != nil {
		return err
	}
	if base == "" {
		return fmt.Errorf("base name (%s) should not be blank", written.BaseName)
	}
	if written.Platform != "" {
		if s.Platform, err = p.expandGlobal(written.Platform); err != nil {
			return err
		}
		if s.Platform == "" {
			return fmt.Errorf("empty platform value from expression %s", written.Platform)
		}
	}
	switch {
	case s.Name != "" && slices.Contains(p.options.Contexts, s.Name):
		// The stage is replaced as a whole.
		s.Base, s.Commands = Source{Context: s.Name}, nil
	case slices.Contains(p.options.Contexts, base):
		s.Base = Source{Context: base}
	case base == Scratch:
		s.Base = Source{Image: Scratch}
	default:
		if s.Base.Stage = p.named(base, i); s.Base.Stage == nil {
			s.Base.Image = base
		}
	}
	p.all = append(p.all, s)
	return nil
}

// named is the last of the first n stages with a name; nil if there is none.
func (p *Plan) named(name string, n int) *Stage {
	for _, s := range slices.Backward(p.all[:min(n, len(p.all))]) {
		if s.Name != "" && strings.EqualFold(s.Name, name) {
			return s
		}
	}
	return nil
}

// find is named, or the stage with that number.
func (p *Plan) find(name string, n int) *Stage {
	if s := p.named(name, n); s != nil {
		return s
	}
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < min(n, len(p.all)) {
		return p.all[i]
	}
	return nil
}

// From is the source that an instruction of s names by from.
func (p *Plan) From(s *Stage, from string) (Source, error) {
	switch {
	case from == "":
		return Source{}, nil
	case slices.Contains(p.options.Contexts, from):
		return Source{Context: from}, nil
	case from == Scratch:
		return Source{}, fmt.Errorf("nothing can be taken from %q, which is empty", from)
	}
	if found := p.find(from, s.Index); found != nil {
		return Source{Stage: found}, nil
	}
	if s.Name != "" && strings.EqualFold(s.Name, from) || strconv.Itoa(s.Index) == from {
		return Source{}, fmt.Errorf("circular dependency detected on stage: %s", s.Label())
	}
	if later := p.find(from, len(p.all)); later != nil {
		return Source{}, fmt.Errorf("cannot copy from stage %q, it needs to be defined before current stage %q", from, s.Label())
	}
	if _, err := strconv.Atoi(from); err == nil {
		return Source{}, fmt.Errorf("invalid stage index %s", from)
	}
	return Source{Image: from}, nil
}

// Sources are what an instruction of s takes from elsewhere.
func (p *Plan) Sources(s *Stage, c instructions.Command) ([]Source, error) {
	var names []string
	switch c := c.(type) {
	case *instructions.CopyCommand:
		if strings.Contains(c.From, "$") {
			return nil, fmt.Errorf("variable expansion is not supported for --from: define a new stage with FROM, whose ARGs are those before the first FROM")
		}
		names = []string{c.From}
	case *instructions.RunCommand:
		for _, m := range instructions.GetMounts(c) {
			names = append(names, m.From)
		}
	}
	var out []Source
	for _, n := range names {
		src, err := p.From(s, n)
		if err != nil {
			return nil, err
		}
		if !src.IsZero() {
			out = append(out, src)
		}
	}
	return out, nil
}

// need marks a stage and what it needs, and keeps Stages in order.
func (p *Plan) need(s *Stage) error {
	if s.needed {
		return nil
	}
	s.needed = true
	if s.Base.Stage != nil {
		if err := p.dependOn(s, s.Base.Stage); err != nil {
			return err
		}
	}
	for _, c := range s.Commands {
		if err := p.needOf(s, c); err != nil {
			return err
		}
	}
	p.Stages = append(p.Stages, s)
	slices.SortFunc(p.Stages, func(a, b *Stage) int { return a.Index - b.Index })
	return nil
}

func (p *Plan) needOf(s *Stage, c instructions.Command) error {
	sources, err := p.Sources(s, c)
	if err != nil {
		return lineError(Line(c), err)
	}
	for _, src := range sources {
		if src.Stage != nil {
			if err := p.dependOn(s, src.Stage); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Plan) dependOn(s, on *Stage) error {
	if !slices.Contains(s.Needs, on) {
		s.Needs = append(s.Needs, on)
	}
	return p.need(on)
}

// Triggers makes instructions of what ONBUILD has left in the base of s. The
// stages that they need are added to the plan.
func (p *Plan) Triggers(s *Stage, texts []string) ([]instructions.Command, error) {
	var out []instructions.Command
	for _, t := range texts {
		c, err := parseTrigger(t)
		if err != nil {
			return nil, fmt.Errorf("ONBUILD %s: %w", t, err)
		}
		if err := p.needOf(s, c); err != nil {
			return nil, fmt.Errorf("ONBUILD %s: %w", t, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// AddLabels lets the target have more labels, each by an instruction of its own at
// its end.
func (p *Plan) AddLabels(labels map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		p.Target.Commands = append(p.Target.Commands, instructions.NewLabelCommand(k, labels[k], true))
	}
}

// Steps counts the instructions of the stages that are built, FROM and global
// arguments among them, as Docker numbers its steps.
func (p *Plan) Steps() int {
	n := len(p.Meta)
	for _, s := range p.Stages {
		n += 1 + len(s.Commands)
	}
	return n
}

func lineOf(s *instructions.Stage) int {
	if len(s.Location) > 0 {
		return s.Location[0].Start.Line
	}
	return 0
}

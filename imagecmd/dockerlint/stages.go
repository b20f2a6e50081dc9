package dockerlint

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// scratch is the base of a stage that begins with nothing.
const scratch = "scratch"

// A stage is a FROM with what follows, while it is checked.
type stage struct {
	instructions.Stage
	number   int                             // in the file, from 0
	name     string                          // "stage-N" for one that has none
	base     *stage                          // nil: an image
	needs    map[*stage]instructions.Command // what it copies from
	platform *ocispec.Platform

	env     variables
	unknown bool // variables could come of an image that is not at hand
	args    map[string]bool
	shell   []string
	workdir bool // a WORKDIR was there
	trigger []string

	cmd, entrypoint, health used
}

// used is where an instruction was that only counts once.
type used struct {
	at []parser.Range
	is bool
}

// add makes s one of the stages.
func (c *checker) add(s *stage) {
	c.stages = append(c.stages, s)
	s.base = c.names[s.BaseName]
	if s.Name != "" {
		c.names[strings.ToLower(s.Name)] = s
	}
}

// target is the stage to be built; nil for all.
func (c *checker) target() (*stage, error) {
	if c.o.Target == "" {
		return nil, nil
	}
	if s := c.names[strings.ToLower(c.o.Target)]; s != nil {
		return s, nil
	}
	err := fmt.Errorf("target stage %q could not be found", c.o.Target)
	var names []string
	for _, s := range c.stages {
		names = append(names, s.name)
	}
	if near := nearest(c.o.Target, names); near != "" {
		err = fmt.Errorf("%w (did you mean %s?)", err, near)
	}
	return nil, err
}

// dispatch looks at the instructions of the stages that are to be checked.
func (c *checker) dispatch() error {
	target, err := c.target()
	if err != nil {
		return err
	}
	for _, s := range c.stages {
		for _, cmd := range s.Commands {
			if err := c.sources(s, cmd); err != nil {
				return err
			}
		}
	}
	if err := c.circle(); err != nil {
		return err
	}
	if err := c.baseNames(); err != nil {
		return err
	}
	// Without a target all stages are checked, but triggers only come into those that the last one needs.
	built := map[*stage]bool{}
	if reach(c.stages[len(c.stages)-1], built); target != nil {
		clear(built)
		reach(target, built)
	}
	for _, s := range c.stages {
		if target != nil && !built[s] {
			continue
		}
		if err := c.begin(s); err != nil {
			return err
		}
		if !built[s] {
			s.trigger = nil
		}
		if err := c.commands(s); err != nil {
			return err
		}
	}
	return nil
}

// baseNames fails for a base that can be no image.
func (c *checker) baseNames() error {
	for _, s := range c.stages {
		if s.base != nil || s.BaseName == scratch {
			continue
		}
		if _, err := reference.ParseNormalizedNamed(s.BaseName); err != nil {
			return parser.WithLocation(fmt.Errorf("failed to parse stage name %q: %w", s.BaseName, err), s.Location)
		}
	}
	return nil
}

// reach adds to set the stages that s needs, and s.
func reach(s *stage, set map[*stage]bool) {
	if s == nil || set[s] {
		return
	}
	set[s] = true
	reach(s.base, set)
	for n := range s.needs {
		reach(n, set)
	}
}

// sources finds the stages that an instruction copies from. (dockerfile2llb.toCommand)
func (c *checker) sources(s *stage, cmd instructions.Command) error {
	switch x := cmd.(type) {
	case *instructions.CopyCommand:
		if x.From == "" {
			return nil
		}
		from, err := c.lex.ProcessWordWithMatches(x.From, variables{})
		if err != nil {
			return err
		}
		if from.Result != x.From {
			return errors.New("variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround")
		}
		if n, err := strconv.Atoi(x.From); err == nil {
			if n < 0 || n >= len(c.stages) {
				return fmt.Errorf("invalid stage index %d", n)
			}
			s.needs[c.stages[n]] = cmd
		} else if n := c.names[strings.ToLower(x.From)]; n != nil {
			s.needs[n] = cmd
		}
	case *instructions.RunCommand:
		for _, m := range instructions.GetMounts(x) {
			if n := c.names[strings.ToLower(m.From)]; n != nil && m.From != "" {
				s.needs[n] = cmd
			}
		}
	}
	return nil
}

// circle fails if a stage needs itself. (dockerfile2llb.validateCircularDependency)
func (c *checker) circle() error {
	visited, path := map[*stage]bool{}, map[*stage]bool{}
	var visit func(s *stage, way []instructions.Command) []instructions.Command
	visit = func(s *stage, way []instructions.Command) []instructions.Command {
		if visited[s] {
			return nil
		}
		visited[s], path[s] = true, true
		defer delete(path, s)
		for _, n := range c.stages {
			cmd, ok := s.needs[n]
			if !ok {
				continue
			}
			next := append(slices.Clip(way), cmd)
			if path[n] {
				return next
			}
			if found := visit(n, next); found != nil {
				return found
			}
		}
		return nil
	}
	for _, s := range c.stages {
		if way := visit(s, nil); way != nil {
			err := fmt.Errorf("circular dependency detected on stage: %s", s.name)
			for _, cmd := range way {
				err = parser.WithLocation(err, cmd.Location())
			}
			return err
		}
	}
	return nil
}

// begin gives s what it has of its base.
func (c *checker) begin(s *stage) error {
	s.env, s.args = variables{}, map[string]bool{}
	defer func() {
		if _, ok := s.env["PATH"]; !ok {
			s.env["PATH"] = "" // every stage has one
		}
	}()
	if s.base != nil {
		s.env, s.args = maps.Clone(s.base.env), maps.Clone(s.base.args)
		s.unknown, s.shell, s.workdir, s.platform = s.base.unknown, s.base.shell, s.base.workdir, s.base.platform
		for _, cmd := range s.base.Commands {
			if on, ok := cmd.(*instructions.OnbuildCommand); ok {
				s.trigger = append(s.trigger, on.Expression)
			}
		}
		return nil
	}
	if s.platform == nil {
		s.platform = &c.o.Platform
	}
	if s.BaseName == scratch {
		return nil
	}
	s.unknown = true
	if c.o.Image == nil || slices.Contains(c.o.Contexts, s.BaseName) || s.Name != "" && slices.Contains(c.o.Contexts, s.Name) {
		return nil
	}
	img, err := c.o.Image(c.ctx, s.BaseName, *s.platform)
	if err != nil {
		c.broken = err
		return err
	}
	if img == nil {
		return nil
	}
	s.unknown = false
	s.env, s.shell, s.trigger = variablesOf(img.Config.Env), img.Config.Shell, img.Config.OnBuild
	if img.OS != "" && (img.OS != s.platform.OS || img.Architecture != s.platform.Architecture) {
		msg := linter.RuleInvalidBaseImagePlatform.Format(s.BaseName, store.FormatPlatform(*s.platform), store.FormatPlatform(img.Platform))
		c.lint.Run(&linter.RuleInvalidBaseImagePlatform, s.Location, msg)
	}
	return nil
}

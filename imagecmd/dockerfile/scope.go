package dockerfile

import (
	"slices"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// A Scope is the variables that the instructions of a stage see, as those before
// have left them.
type Scope struct {
	plan *Plan
	args *variables // declared in this stage or in one it stands on, with values
}

// Scope begins a stage. One that stands on another stage goes on with its arguments.
func (p *Plan) Scope(base *Scope) *Scope {
	if base == nil {
		return &Scope{plan: p, args: &variables{}}
	}
	return &Scope{plan: p, args: base.args.clone()}
}

// Env is what words are expanded with, where the image has env.
func (s *Scope) Env(env []string) shell.EnvGetter {
	all := s.args.clone()
	for _, name := range proxies {
		if given, ok := s.plan.options.Args[name]; ok {
			if _, declared := all.values[name]; !declared {
				all.set(name, given)
			}
		}
	}
	for _, kv := range env {
		all.set(name(kv), kv[min(len(name(kv))+1, len(kv)):])
	}
	return all
}

// Args are the arguments, NAME=VALUE, that a RUN sees in its environment where the
// image has env: those that were declared, sorted. They are part of what the
// command is.
func (s *Scope) Args(env []string) []string {
	var out []string
	for _, n := range s.args.names {
		if !slices.ContainsFunc(env, func(kv string) bool { return name(kv) == n }) {
			out = append(out, n+"="+s.args.values[n])
		}
	}
	slices.Sort(out)
	return out
}

// Proxies are the arguments of the person that a RUN sees although none declares
// them, and that make no difference to what it is.
func (s *Scope) Proxies(env []string) []string {
	var out []string
	for _, n := range proxies {
		given, ok := s.plan.options.Args[n]
		if _, declared := s.args.values[n]; ok && !declared && !slices.ContainsFunc(env, func(kv string) bool { return name(kv) == n }) {
			out = append(out, n+"="+given)
		}
	}
	return out
}

// Expand puts variables into an instruction, where the image has env. It is done
// once to each.
func (s *Scope) Expand(c instructions.Command, env []string) error {
	if a, ok := c.(*instructions.ArgCommand); ok {
		return s.declare(a, env)
	}
	vars := s.Env(env)
	if x, ok := c.(instructions.SupportsSingleWordExpansion); ok {
		lex := shell.NewLex(s.plan.Escape)
		if err := x.Expand(func(word string) (string, error) {
			word, _, err := lex.ProcessWord(word, vars)
			return word, err
		}); err != nil {
			return err
		}
	}
	if x, ok := c.(instructions.SupportsSingleWordExpansionRaw); ok { // here-documents
		lex := shell.NewLex('\\')
		lex.SkipProcessQuotes = true
		return x.ExpandRaw(func(word string) (string, error) {
			word, _, err := lex.ProcessWord(word, vars)
			return word, err
		})
	}
	return nil
}

// declare gives arguments their values: the person's, else the default, else that
// of the global argument of the name.
func (s *Scope) declare(c *instructions.ArgCommand, env []string) error {
	lex := shell.NewLex(s.plan.Escape)
	for i := range c.Args {
		a := &c.Args[i]
		if given, ok := s.plan.options.Args[a.Key]; ok {
			s.plan.use(a.Key)
			s.args.set(a.Key, given)
			continue
		}
		if a.Value == nil {
			if value, ok := s.plan.global.Get(a.Key); ok {
				s.args.set(a.Key, value)
			}
			continue
		}
		value, _, err := lex.ProcessWord(*a.Value, s.Env(env))
		if err != nil {
			return err
		}
		a.Value = &value
		s.args.set(a.Key, value)
	}
	return nil
}

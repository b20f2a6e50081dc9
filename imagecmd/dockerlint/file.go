package dockerlint

import (
	"maps"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// checkStageNames finds names that are taken. (dockerfile2llb.validateStageNames)
func checkStageNames(stages []instructions.Stage, lint *linter.Linter) {
	seen := map[string]bool{}
	for _, s := range stages {
		if s.Name == "" {
			continue
		}
		if s.Name == "context" || s.Name == "scratch" {
			lint.Run(&linter.RuleReservedStageName, s.Location, linter.RuleReservedStageName.Format(s.Name))
		}
		if seen[s.Name] {
			lint.Run(&linter.RuleDuplicateStageName, s.Location, linter.RuleDuplicateStageName.Format(s.Name))
		}
		seen[s.Name] = true
	}
}

// checkCasing finds commands that are written in another case than most.
// (dockerfile2llb.validateCommandCasing)
func checkCasing(stages []instructions.Stage, lint *linter.Linter) {
	type word struct {
		text string
		at   []parser.Range
	}
	var words []word
	for _, s := range stages {
		words = append(words, word{s.OrigCmd, s.Location})
		for _, c := range s.Commands {
			words = append(words, word{c.Name(), c.Location()})
		}
	}
	lower, upper := 0, 0
	for _, w := range words {
		switch w.text {
		case strings.ToLower(w.text):
			lower++
		case strings.ToUpper(w.text):
			upper++
		}
	}
	for _, w := range words {
		right, as := strings.ToUpper(w.text), "uppercase"
		if lower > upper {
			right, as = strings.ToLower(w.text), "lowercase"
		}
		if w.text != right {
			lint.Run(&linter.RuleConsistentInstructionCasing, w.at, linter.RuleConsistentInstructionCasing.Format(w.text, as))
		}
	}
}

// globals takes in the arguments before the first FROM, and looks whether base images have a name
// without any --build-arg.
func (c *checker) globals(stages []instructions.Stage, args []instructions.ArgCommand) error {
	defaults, err := c.metaArgs(c.predefined(stages), args, nil)
	if err == nil {
		c.checkDefaults(stages, defaults)
	}
	c.declared = map[string]bool{}
	for _, a := range args {
		for _, kv := range a.Args {
			c.declared[kv.Key] = true
		}
	}
	c.args, err = c.metaArgs(c.predefined(stages), args, c.o.BuildArgs)
	return err
}

// checkDefaults is dockerfile2llb.validateBaseImagesWithDefaultArgs.
func (c *checker) checkDefaults(stages []instructions.Stage, defaults variables) {
	for _, s := range stages {
		name, err := c.lex.ProcessWordWithMatches(s.BaseName, defaults)
		if err != nil {
			return
		}
		if _, err := reference.ParseNormalizedNamed(name.Result); err != nil {
			c.lint.Run(&linter.RuleInvalidDefaultArgInFrom, s.Location, linter.RuleInvalidDefaultArgInFrom.Format(s.BaseName))
		}
	}
}

// predefined are the arguments that every Dockerfile has
// (docs.docker.com/reference/dockerfile, "Automatic platform ARGs in the global scope").
func (c *checker) predefined(stages []instructions.Stage) variables {
	target := c.o.Target
	if target == "" {
		target = stages[len(stages)-1].Name
	}
	if target == "" {
		target = "default"
	}
	v := variables{
		"BUILDPLATFORM": store.FormatPlatform(c.o.Build), "BUILDOS": c.o.Build.OS, "BUILDOSVERSION": c.o.Build.OSVersion,
		"BUILDARCH": c.o.Build.Architecture, "BUILDVARIANT": c.o.Build.Variant,
		"TARGETPLATFORM": store.FormatPlatform(c.o.Platform), "TARGETOS": c.o.Platform.OS, "TARGETOSVERSION": c.o.Platform.OSVersion,
		"TARGETARCH": c.o.Platform.Architecture, "TARGETVARIANT": c.o.Platform.Variant,
		"TARGETSTAGE": target,
	}
	for name := range v {
		if given, ok := c.o.BuildArgs[name]; ok {
			v[name] = given
		}
	}
	return v
}

// metaArgs are the predefined arguments with those that come before the first FROM.
func (c *checker) metaArgs(v variables, args []instructions.ArgCommand, given map[string]string) (variables, error) {
	v = maps.Clone(v)
	for _, a := range args {
		for _, kv := range a.Args {
			if value, ok := given[kv.Key]; ok {
				v[kv.Key] = value
				continue
			}
			if kv.Value == nil {
				continue
			}
			value, err := c.lex.ProcessWordWithMatches(*kv.Value, v)
			if err != nil {
				return nil, parser.WithLocation(err, a.Location())
			}
			v[kv.Key] = value.Result
		}
	}
	return v, nil
}

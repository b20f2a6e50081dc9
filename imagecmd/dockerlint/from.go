package dockerlint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// from looks at what the stages stand on. (dockerfile2llb.buildDispatchStates)
func (c *checker) from(stages []instructions.Stage) error {
	c.names = map[string]*stage{}
	for i, s := range stages {
		lint := c.lint.WithMergedConfigFromComments(s.Comments)
		name, err := c.lex.ProcessWordWithMatches(s.BaseName, c.args)
		c.checkArgs(name.Unmatched, s.Location, lint)
		if err == nil && name.Result == "" {
			err = fmt.Errorf("base name (%s) should not be blank", s.BaseName)
		}
		if err != nil {
			return parser.WithLocation(err, s.Location)
		}
		st := &stage{Stage: s, number: i, name: s.Name, needs: map[*stage]instructions.Command{}}
		st.BaseName = name.Result
		if st.name == "" {
			st.name = fmt.Sprintf("stage-%d", i)
		}
		if s.Platform != "" {
			if err := c.platform(st, lint); err != nil {
				return parser.WithLocation(err, s.Location)
			}
		}
		c.add(st)
	}
	return nil
}

// checkArgs is dockerfile2llb.reportUnusedFromArgs.
func (c *checker) checkArgs(unmatched map[string]struct{}, at []parser.Range, lint *linter.Linter) {
	for _, name := range slices.Sorted(maps.Keys(unmatched)) {
		if _, ok := c.args[name]; ok || c.declared[name] {
			continue
		}
		names := slices.Concat(c.args.Keys(), slices.Sorted(maps.Keys(c.declared)))
		lint.Run(&linter.RuleUndefinedArgInFrom, at, linter.RuleUndefinedArgInFrom.Format(name, nearest(name, names)))
	}
}

// platform looks at --platform of a stage.
func (c *checker) platform(s *stage, lint *linter.Linter) error {
	word, err := c.lex.ProcessWordWithMatches(s.Platform, c.args)
	c.checkArgs(word.Unmatched, s.Location, lint)
	c.checkRedundant(s, word, lint)
	if err != nil {
		return fmt.Errorf("failed to process arguments for platform %s: %w", word.Result, err)
	}
	if word.Result == "" {
		return c.suggesting(fmt.Errorf("empty platform value from expression %s", s.Platform), word.Unmatched)
	}
	p, err := store.ParsePlatform(word.Result)
	if err != nil {
		return c.suggesting(fmt.Errorf("failed to parse platform %s: %w", s.Platform, err), word.Unmatched)
	}
	constant := len(word.Matched) == 0 && len(word.Unmatched) == 0
	if constant && !strings.Contains(s.Name, p.OS) && !strings.Contains(s.Name, p.Architecture) {
		lint.Run(&linter.RuleFromPlatformFlagConstDisallowed, s.Location, linter.RuleFromPlatformFlagConstDisallowed.Format(word.Result))
	}
	s.platform = &p
	return nil
}

// checkRedundant is dockerfile2llb.reportRedundantTargetPlatform.
func (c *checker) checkRedundant(s *stage, word shell.ProcessWordResult, lint *linter.Linter) {
	if len(word.Matched) != 1 || len(word.Unmatched) != 0 {
		return
	}
	if _, ok := word.Matched["TARGETPLATFORM"]; ok && word.Result == c.args["TARGETPLATFORM"] {
		lint.Run(&linter.RuleRedundantTargetPlatform, s.Location, linter.RuleRedundantTargetPlatform.Format(s.Platform))
	}
}

// suggesting adds to err which argument may have been meant.
func (c *checker) suggesting(err error, unmatched map[string]struct{}) error {
	for _, name := range slices.Sorted(maps.Keys(unmatched)) {
		if near := nearest(name, c.args.Keys()); near != "" {
			return fmt.Errorf("%w (did you mean %s?)", err, near)
		}
	}
	return err
}

package dockerlint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/buildcontext"
)

// Options says how a Dockerfile is to be built.
type Options struct {
	Name      string            // of the Dockerfile, as it is printed; "" is "Dockerfile"
	BuildArgs map[string]string // --build-arg
	Target    string            // --target: only the stages that it needs are checked; "" is all
	Build     ocispec.Platform  // of the host that builds
	Platform  ocispec.Platform  // --platform: of the image
	Ignore    *buildcontext.Ignore
	Contexts  []string // names of --build-context: stages and images of that name are not what they seem
	// Image is the config of a base image; nil with no error if it isn't at hand. Image may be
	// nil: none is.
	Image func(ctx context.Context, name string, p ocispec.Platform) (*dockerspec.DockerOCIImage, error)
}

// A Warning is a rule that is broken.
type Warning struct {
	Rule, Description, URL string
	Detail                 string // what is wrong here
	Location               []parser.Range
}

// A Result is what a check found.
type Result struct {
	Warnings []Warning // by line
	// Failure is why the file can't be built, or that `error=true` makes failures of warnings; nil if it can.
	Failure error
	name    string
	text    []byte
}

// checkArg is the build argument that stands in place of the file's directive.
const checkArg = "BUILDKIT_DOCKERFILE_CHECK"

// Check checks the Dockerfile text. The error is of the context, or of Image.
func Check(ctx context.Context, text []byte, o Options) (*Result, error) {
	r := &Result{name: o.Name, text: text}
	if r.name == "" {
		r.name = "Dockerfile"
	}
	c := checker{ctx: ctx, o: o, text: text}
	r.Failure = c.check(r.warn)
	if c.broken != nil {
		return nil, c.broken
	}
	slices.SortStableFunc(r.Warnings, func(a, b Warning) int { return firstLine(a.Location) - firstLine(b.Location) })
	return r, nil
}

// warn is told of a broken rule.
func (r *Result) warn(rule, description, url, detail string, at []parser.Range) {
	r.Warnings = append(r.Warnings, Warning{rule, description, url, detail, at})
}

func firstLine(at []parser.Range) int {
	if len(at) == 0 {
		return 0
	}
	return at[0].Start.Line
}

// checker goes through one file.
type checker struct {
	ctx  context.Context
	o    Options
	text []byte
	lint *linter.Linter
	lex  *shell.Lex
	// args are the arguments before the first FROM and the predefined ones; declared, those of
	// them that an ARG names.
	args     variables
	declared map[string]bool
	stages   []*stage
	names    map[string]*stage // in lower case
	broken   error             // why the check itself failed
}

func (c *checker) check(warn linter.LintWarnFunc) error {
	if len(c.text) == 0 {
		return errors.New("the Dockerfile cannot be empty")
	}
	config, err := c.config()
	if err != nil {
		return fmt.Errorf("failed to parse check options: %w", err)
	}
	config.Warn = warn
	c.lint = linter.New(config)
	file, err := parser.Parse(bytes.NewReader(c.text))
	if err != nil {
		return err
	}
	for _, w := range file.Warnings {
		if w.URL == linter.RuleNoEmptyContinuation.URL && w.Location != nil {
			c.lint.Run(&linter.RuleNoEmptyContinuation, []parser.Range{*w.Location}, linter.RuleNoEmptyContinuation.Format())
		}
	}
	stages, args, err := instructions.Parse(file.AST, c.lint)
	if err != nil {
		return err
	}
	if len(stages) == 0 {
		return errors.New("dockerfile contains no stages to build")
	}
	c.lex = shell.NewLex(file.EscapeToken)
	checkStageNames(stages, c.lint)
	checkCasing(stages, c.lint)
	if err := c.globals(stages, args); err != nil {
		return err
	}
	if err := c.from(stages); err != nil {
		return err
	}
	if err := c.dispatch(); err != nil {
		return err
	}
	return c.violations()
}

// config is what the directive says, or the build argument in its place.
func (c *checker) config() (*linter.Config, error) {
	options, ok := c.o.BuildArgs[checkArg]
	if !ok {
		options, _, _, _ = parser.ParseDirective("check", c.text)
	}
	return linter.ParseLintOptions(options)
}

// violations is the failure that `error=true` makes of warnings.
func (c *checker) violations() error {
	if !c.lint.ReturnAsError || len(*c.lint.CalledRules) == 0 {
		return nil
	}
	rules := slices.Clone(*c.lint.CalledRules)
	slices.Sort(rules)
	return fmt.Errorf("lint violation found for rules: %s", strings.Join(slices.Compact(rules), ", "))
}

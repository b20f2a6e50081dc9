package dockerlint

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"github.com/cfs-project/cfs/imagecmd/buildcontext"
)

// commands looks at the instructions of s, the triggers of its base first.
func (c *checker) commands(s *stage) error {
	if s.Name != "" && slices.Contains(c.o.Contexts, s.Name) {
		return nil // a named context stands in its place
	}
	triggers, err := c.triggers(s)
	if err != nil {
		return err
	}
	for _, cmd := range slices.Concat(triggers, s.Commands) {
		k := command{c, s, cmd, c.lint.WithMergedConfigFromComments(cmd.Comments())}
		if err := k.check(); err != nil {
			return parser.WithLocation(err, cmd.Location())
		}
	}
	return nil
}

// triggers are the instructions that ONBUILD of the base has left. Their place is the FROM.
func (c *checker) triggers(s *stage) ([]instructions.Command, error) {
	var out []instructions.Command
	for _, line := range s.trigger {
		file, err := parser.Parse(strings.NewReader(line))
		if err == nil && len(file.AST.Children) != 1 {
			err = errors.New("onbuild trigger should be a single expression")
		}
		if err != nil {
			return nil, parser.SetLocation(err, s.Location)
		}
		node := file.AST.Children[0]
		if len(s.Location) > 0 {
			node.StartLine, node.EndLine = s.Location[0].Start.Line, s.Location[len(s.Location)-1].End.Line
		}
		cmd, err := instructions.ParseCommand(node)
		if err == nil {
			err = c.sources(s, cmd)
		}
		if err != nil {
			return nil, parser.SetLocation(err, s.Location)
		}
		out = append(out, cmd)
	}
	return out, nil
}

// command is one instruction of a stage.
type command struct {
	c    *checker
	s    *stage
	cmd  instructions.Command
	lint *linter.Linter
}

// run raises a rule for the instruction.
func (k *command) run(rule linter.LinterRuleI, msg string) { k.lint.Run(rule, k.cmd.Location(), msg) }

// check is dockerfile2llb.dispatch.
func (k *command) check() error {
	if _, arg := k.cmd.(*instructions.ArgCommand); !arg {
		if x, ok := k.cmd.(instructions.SupportsSingleWordExpansion); ok {
			if err := x.Expand(func(word string) (string, error) { return k.expand(k.c.lex, word) }); err != nil {
				return err
			}
		}
	}
	if x, ok := k.cmd.(instructions.SupportsSingleWordExpansionRaw); ok {
		lex := shell.NewLex('\\')
		lex.SkipProcessQuotes = true
		if err := x.ExpandRaw(func(word string) (string, error) { return k.expand(lex, word) }); err != nil {
			return err
		}
	}
	switch x := k.cmd.(type) {
	case *instructions.ArgCommand:
		return k.arg(x)
	case *instructions.EnvCommand:
		for _, kv := range x.Env {
			k.keyValue(kv)
			k.secret("ENV", kv.Key)
			k.s.env[kv.Key] = kv.Value
		}
	case *instructions.LabelCommand:
		for _, kv := range x.Labels {
			k.keyValue(kv)
		}
	case *instructions.ShellCommand:
		k.s.shell = x.Shell
	case *instructions.CmdCommand:
		k.once(&k.s.cmd)
		k.json(x.PrependShell)
	case *instructions.EntrypointCommand:
		k.once(&k.s.entrypoint)
		k.json(x.PrependShell)
	case *instructions.HealthCheckCommand:
		k.once(&k.s.health)
	case *instructions.WorkdirCommand:
		if !k.s.workdir && !path.IsAbs(x.Path) {
			k.run(&linter.RuleWorkdirRelativePath, linter.RuleWorkdirRelativePath.Format(x.Path))
		}
		k.s.workdir = true
	case *instructions.ExposeCommand:
		return k.expose(x)
	case *instructions.VolumeCommand:
		if slices.Contains(x.Volumes, "") {
			return errors.New("VOLUME specified can not be an empty string")
		}
	case *instructions.AddCommand:
		return k.ignored("Add", x.SourcePaths)
	case *instructions.CopyCommand:
		if x.From == "" {
			return k.ignored("Copy", x.SourcePaths)
		}
		return k.copiesFrom(x.From)
	}
	return nil
}

// expand is word with its variables' values; those that are not defined are told.
func (k *command) expand(lex *shell.Lex, word string) (string, error) {
	out, unmatched, err := lex.ProcessWord(word, k.s.env)
	k.undefined(unmatched)
	return out, err
}

// undefined is dockerfile2llb.reportUnmatchedVariables.
func (k *command) undefined(unmatched map[string]struct{}) {
	if k.s.unknown {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(unmatched)) {
		if k.s.args[name] || name == "BUILDKIT_SBOM_SCAN_CONTEXT" || name == "BUILDKIT_SBOM_SCAN_STAGE" {
			continue
		}
		k.run(&linter.RuleUndefinedVar, linter.RuleUndefinedVar.Format(name, nearest(name, k.s.env.Keys())))
	}
}

// arg defines the arguments of an ARG. (dockerfile2llb.dispatchArg)
func (k *command) arg(x *instructions.ArgCommand) error {
	for _, kv := range x.Args {
		k.secret("ARG", kv.Key)
		value, defined := k.c.o.BuildArgs[kv.Key]
		switch {
		case defined:
		case kv.Value != nil:
			var err error
			if value, err = k.expand(k.c.lex, *kv.Value); err != nil {
				return err
			}
			defined = true
		default:
			value, defined = k.c.args[kv.Key]
		}
		if defined {
			k.s.env[kv.Key] = value
		}
		k.s.args[kv.Key] = true
	}
	return nil
}

func (k *command) keyValue(kv instructions.KeyValuePair) {
	if kv.NoDelim {
		k.run(&linter.RuleLegacyKeyValueFormat, linter.RuleLegacyKeyValueFormat.Format(k.cmd.Name()))
	}
}

// once tells of the instruction before that was of no use.
func (k *command) once(u *used) {
	if u.is {
		k.lint.Run(&linter.RuleMultipleInstructionsDisallowed, u.at, linter.RuleMultipleInstructionsDisallowed.Format(k.cmd.Name()))
	}
	*u = used{k.cmd.Location(), true}
}

func (k *command) json(shell bool) {
	if shell && len(k.s.shell) == 0 {
		k.run(&linter.RuleJSONArgsRecommended, linter.RuleJSONArgsRecommended.Format(k.cmd.Name()))
	}
}

// A name is of a secret if a word of it is, and none says that it isn't.
// (dockerfile2llb.getSecretsRegex)
var (
	secretWords = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)`)
	})
	publicWords = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)(?:_|^)(?:public|file|version)(?:_|$)`) })
)

func (k *command) secret(instruction, name string) {
	if secretWords().MatchString(name) && !publicWords().MatchString(name) {
		k.run(&linter.RuleSecretsUsedInArgOrEnv, linter.RuleSecretsUsedInArgOrEnv.Format(instruction, name))
	}
}

// ignored finds sources that the context doesn't have. With exceptions in the ignore file nothing
// is said, as a directory may be left out and a file in it not.
// (dockerfile2llb.validateCopySourcePath)
func (k *command) ignored(verb string, sources []string) error {
	ignore := k.c.o.Ignore
	if ignore == nil || ignore.Exceptions() {
		return nil
	}
	for _, src := range sources {
		if _, git, _ := buildcontext.ParseGit(src); git || strings.HasPrefix(src, "http://") || strings.HasPrefix(src, "https://") {
			continue
		}
		src = path.Clean(src)
		out, err := ignore.Match(src)
		if err != nil {
			return err
		}
		if out {
			k.run(&linter.RuleCopyIgnoredFile, linter.RuleCopyIgnoredFile.Format(verb, src))
		}
	}
	return nil
}

// copiesFrom fails for a stage that comes later.
func (k *command) copiesFrom(from string) error {
	src := k.c.names[strings.ToLower(from)]
	if n, err := strconv.Atoi(from); err == nil && n < len(k.c.stages) {
		src = k.c.stages[n]
	}
	if src != nil && src.number >= k.s.number {
		return fmt.Errorf("cannot copy from stage %q, it needs to be defined before current stage %q", from, k.s.name)
	}
	return nil
}

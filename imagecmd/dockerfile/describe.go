package dockerfile

import (
	"fmt"
	"path"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// DefaultShell is what runs a command that is no JSON array.
var DefaultShell = []string{"/bin/sh", "-c"}

// ScriptDir is where a RUN finds a here-document that begins with "#!", by the
// document's name.
const ScriptDir = "/dev/pipes"

// A Script is a RUN as a process.
type Script struct {
	Args []string
	// File is to be there, executable, as File.Name below ScriptDir; nil: none.
	File *instructions.ShellInlineFile
}

// Script is what a RUN runs, in a shell if it is no JSON array. Here-documents
// are given to the shell, but for a single one: that is the command itself, or
// with "#!" a program.
func ScriptOf(c *instructions.RunCommand, shell []string) (Script, error) {
	if len(shell) == 0 {
		shell = DefaultShell
	}
	args := c.CmdLine
	if len(c.Files) > 0 {
		if len(args) != 1 || !c.PrependShell {
			return Script{}, fmt.Errorf("a here-document belongs to a command of a shell, not to %q", args)
		}
		first := c.Files[0]
		if parser.MustParseHeredoc(args[0]) == nil {
			args = []string{withDocuments(args[0], c.Files)}
		} else {
			if first.Chomp {
				first.Data = parser.ChompHeredocContent(first.Data)
			}
			if strings.HasPrefix(first.Data, "#!") {
				return Script{Args: append(shell[:len(shell):len(shell)], path.Join(ScriptDir, first.Name)), File: &first}, nil
			}
			args = []string{first.Data}
		}
	}
	if len(args) == 0 || args[0] == "" {
		return Script{}, fmt.Errorf("RUN needs a command")
	}
	if c.PrependShell {
		args = append(shell[:len(shell):len(shell)], strings.Join(args, " "))
	}
	return Script{Args: args}, nil
}

// withDocuments is a command with its here-documents, as a shell reads them.
func withDocuments(command string, docs []instructions.ShellInlineFile) string {
	var b strings.Builder
	b.WriteString(command)
	for _, d := range docs {
		b.WriteString("\n" + d.Data + d.Name)
	}
	return b.String()
}

// Describe is an instruction that changes no file, variables put in, as Docker's
// classic builder puts it into the history behind "#(nop) "; cfg is the
// configuration that it has made.
func Describe(c instructions.Command, cfg *dockerspec.DockerOCIImageConfig) string {
	switch c := c.(type) {
	case *instructions.ArgCommand:
		text := "ARG"
		for _, a := range c.Args {
			if text += " " + a.Key; a.Value != nil {
				text += "=" + *a.Value
			}
		}
		return text
	case *instructions.CmdCommand:
		return fmt.Sprintf("CMD %q", cfg.Cmd)
	case *instructions.EntrypointCommand:
		return fmt.Sprintf("ENTRYPOINT %q", cfg.Entrypoint)
	case *instructions.EnvCommand:
		return "ENV" + pairs(c.Env)
	case *instructions.LabelCommand:
		return "LABEL" + pairs(c.Labels)
	case *instructions.ExposeCommand:
		return "EXPOSE " + strings.Join(c.Ports, " ")
	case *instructions.HealthCheckCommand:
		return fmt.Sprintf("HEALTHCHECK %q", healthWords(cfg.Healthcheck))
	case *instructions.MaintainerCommand:
		return "MAINTAINER " + c.Maintainer
	case *instructions.OnbuildCommand:
		return "ONBUILD " + c.Expression
	case *instructions.ShellCommand:
		return fmt.Sprintf("SHELL %v", c.Shell)
	case *instructions.StopSignalCommand:
		return "STOPSIGNAL " + c.Signal
	case *instructions.UserCommand:
		return "USER " + c.User
	case *instructions.VolumeCommand:
		return fmt.Sprintf("VOLUME %v", c.Volumes)
	case *instructions.WorkdirCommand:
		return "WORKDIR " + cfg.WorkingDir
	}
	return strings.ToUpper(c.Name())
}

func pairs(kvs instructions.KeyValuePairs) string {
	var b strings.Builder
	for _, kv := range kvs {
		b.WriteString(" " + kv.Key + "=" + kv.Value)
	}
	return b.String()
}

// healthWords is a health check in the form that Docker 20.10 printed, which knew
// no interval for the start. One with an interval is printed whole.
func healthWords(h *dockerspec.HealthcheckConfig) any {
	if h == nil || h.StartInterval != 0 {
		return h
	}
	return &struct {
		Test                           []string
		Interval, Timeout, StartPeriod fmt.Stringer
		Retries                        int
	}{h.Test, h.Interval, h.Timeout, h.StartPeriod, h.Retries}
}

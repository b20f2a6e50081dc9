package imagecmd

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// changeCommands are the Dockerfile instructions that `-c` takes: those that change
// nothing but the configuration. Docker has all but SHELL.
var changeCommands = []string{
	"cmd", "entrypoint", "env", "expose", "healthcheck", "label", "onbuild", "shell", "stopsignal", "user", "volume", "workdir",
}

// change applies Dockerfile instructions, as of `cfs commit -c`, to an image's
// configuration. Variables in them are those of the configuration's Env, as the
// instructions before have left it. A configuration that an instruction is wrong
// for may have been changed by those before it.
func change(cfg *dockerspec.DockerOCIImageConfig, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	file, err := parser.Parse(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		return fmt.Errorf("change: %w", err)
	}
	// All must be known before the first has an effect, as Docker has it.
	for _, n := range file.AST.Children {
		if name := strings.ToLower(n.Value); !slices.Contains(changeCommands, name) {
			return fmt.Errorf("%s is not a valid change command", name)
		}
	}
	c := changer{cfg: cfg, lex: shell.NewLex(file.EscapeToken)}
	for _, n := range file.AST.Children {
		cmd, err := instructions.ParseCommand(n)
		if err == nil {
			err = c.apply(cmd)
		}
		if err != nil {
			return fmt.Errorf("change %q: %w", n.Original, err)
		}
	}
	return nil
}

// changer is a configuration while instructions change it.
type changer struct {
	cfg    *dockerspec.DockerOCIImageConfig
	lex    *shell.Lex
	cmdSet bool // by an instruction before
}

// apply puts the configuration's variables into an instruction, and does it.
func (c *changer) apply(cmd instructions.Command) error {
	env := shell.EnvsFromSlice(c.cfg.Env)
	if x, ok := cmd.(instructions.SupportsSingleWordExpansion); ok {
		if err := x.Expand(func(word string) (string, error) {
			word, _, err := c.lex.ProcessWord(word, env)
			return word, err
		}); err != nil {
			return err
		}
	}
	return c.set(cmd, env)
}

// set does an instruction whose words are expanded; the ports of EXPOSE, which may
// become several, are with env.
func (c *changer) set(cmd instructions.Command, env shell.EnvGetter) error {
	switch x := cmd.(type) {
	case *instructions.CmdCommand:
		c.cfg.Cmd = c.commandLine(x.ShellDependantCmdLine)
		c.cmdSet = len(x.CmdLine) > 0
	case *instructions.EntrypointCommand:
		c.cfg.Entrypoint = c.commandLine(x.ShellDependantCmdLine)
		// The image's Cmd were arguments for another program.
		if len(x.CmdLine) > 0 && !c.cmdSet {
			c.cfg.Cmd = nil
		}
	case *instructions.EnvCommand:
		for _, kv := range x.Env {
			c.cfg.Env = setEnv(c.cfg.Env, kv.Key, kv.Value)
		}
	case *instructions.ExposeCommand:
		return c.expose(x, env)
	case *instructions.HealthCheckCommand:
		c.cfg.Healthcheck = x.Health
	case *instructions.LabelCommand:
		for _, kv := range x.Labels {
			put(&c.cfg.Labels, kv.Key, kv.Value)
		}
	case *instructions.OnbuildCommand:
		c.cfg.OnBuild = append(c.cfg.OnBuild, x.Expression)
	case *instructions.ShellCommand:
		c.cfg.Shell = x.Shell
	case *instructions.StopSignalCommand:
		if !isSignal(x.Signal) {
			return fmt.Errorf("invalid signal: %s", x.Signal)
		}
		c.cfg.StopSignal = x.Signal
	case *instructions.UserCommand:
		c.cfg.User = x.User
	case *instructions.VolumeCommand:
		for _, v := range x.Volumes {
			if strings.TrimSpace(v) == "" {
				return errors.New("a volume can't be an empty string")
			}
			put(&c.cfg.Volumes, v, struct{}{})
		}
	case *instructions.WorkdirCommand:
		if path.IsAbs(x.Path) {
			c.cfg.WorkingDir = path.Clean(x.Path)
		} else {
			c.cfg.WorkingDir = path.Join("/", c.cfg.WorkingDir, x.Path)
		}
	default:
		return fmt.Errorf("%s is not a valid change command", cmd.Name())
	}
	return nil
}

// commandLine is the argv of a CMD or ENTRYPOINT: one that is no JSON array is
// for the shell.
func (c *changer) commandLine(x instructions.ShellDependantCmdLine) []string {
	if !x.PrependShell || len(x.CmdLine) == 0 {
		return x.CmdLine
	}
	sh := c.cfg.Shell
	if len(sh) == 0 {
		sh = []string{"/bin/sh", "-c"}
	}
	return slices.Concat(sh, x.CmdLine)
}

// expose takes the ports in, and leaves them expanded.
func (c *changer) expose(x *instructions.ExposeCommand, env shell.EnvGetter) error {
	var all []string
	for _, spec := range x.Ports {
		words, err := c.lex.ProcessWords(spec, env)
		if err != nil {
			return err
		}
		all = append(all, words...)
	}
	for _, w := range all {
		ports, err := parsePorts(w)
		if err != nil {
			return err
		}
		for _, p := range ports {
			put(&c.cfg.ExposedPorts, p, struct{}{})
		}
	}
	x.Ports = all
	return nil
}

// parsePorts reads PORT[-PORT][/PROTOCOL] and returns each as PORT/PROTOCOL,
// the key of ExposedPorts (OCI image spec, config.md).
func parsePorts(spec string) ([]string, error) {
	ports, proto, given := strings.Cut(spec, "/")
	if proto = strings.ToLower(proto); !given {
		proto = "tcp"
	}
	if !slices.Contains([]string{"tcp", "udp", "sctp"}, proto) {
		return nil, fmt.Errorf("invalid port %q: its protocol is none of tcp, udp and sctp", spec)
	}
	from, to, ranged := strings.Cut(ports, "-")
	first, err := strconv.ParseUint(from, 10, 16)
	last := first
	if err == nil && ranged {
		last, err = strconv.ParseUint(to, 10, 16)
	}
	if err != nil || first == 0 || last < first {
		return nil, fmt.Errorf("invalid port %q: it must be PORT[-PORT][/tcp|udp|sctp]", spec)
	}
	var out []string
	for p := first; p <= last; p++ {
		out = append(out, strconv.FormatUint(p, 10)+"/"+proto)
	}
	return out, nil
}

// isSignal tells whether s is the name or the number of a signal of Linux.
func isSignal(s string) bool {
	if n, err := strconv.Atoi(s); err == nil {
		return n > 0 && n <= 64
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if unix.SignalNum(name) != 0 {
		return true
	}
	// The real-time signals count from both ends (signal(7)).
	for base, sign := range map[string]string{"SIGRTMIN": "+", "SIGRTMAX": "-"} {
		if rest, ok := strings.CutPrefix(name, base); ok {
			digits, ok := strings.CutPrefix(rest, sign)
			n, err := strconv.ParseUint(digits, 10, 8)
			return rest == "" || ok && err == nil && n <= 30
		}
	}
	return false
}

// setEnv gives a variable a value, at its place if it has one already.
func setEnv(env []string, name, value string) []string {
	for i, e := range env {
		if n, _, _ := strings.Cut(e, "="); n == name {
			env[i] = name + "=" + value
			return env
		}
	}
	return append(env, name+"="+value)
}

// put sets a key of a map that may not be there yet.
func put[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = value
}

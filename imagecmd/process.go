package imagecmd

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrNoCommand is returned when neither the image nor the person names one.
var ErrNoCommand = errors.New("no command specified")

// A process is what is to run in a container: the image's configuration with
// what the person asked for laid over it.
type process struct {
	Args       []string `json:"args,omitempty"` // the entry point, and what it gets
	Entrypoint []string `json:"entrypoint,omitempty"`
	Env        []string `json:"env,omitempty"`
	Cwd        string   `json:"cwd,omitempty"`
	User       string   `json:"user,omitempty"` // as `-u` takes it; resolved against the root's passwd when mounted
}

// newProcess lays a person's wishes over an image's configuration, as Docker
// does: arguments replace Cmd and follow Entrypoint; -e adds to or replaces
// Env, and a bare name takes its value from host.
func newProcess(cfg ocispec.ImageConfig, o RunOptions, host func(string) (string, bool)) (process, error) {
	p := process{User: cfg.User, Cwd: cfg.WorkingDir}
	if o.User != "" {
		p.User = o.User
	}
	if o.Workdir != "" {
		if !path.IsAbs(o.Workdir) {
			return p, fmt.Errorf("the working directory '%s' is invalid, it needs to be an absolute path", o.Workdir)
		}
		p.Cwd = o.Workdir
	}
	p.Cwd = path.Clean("/" + p.Cwd)

	entrypoint := cfg.Entrypoint
	cmd := cfg.Cmd
	if o.Entrypoint != nil { // the image's command is meant for the image's entry point
		entrypoint, cmd = nil, nil
		if *o.Entrypoint != "" {
			entrypoint = []string{*o.Entrypoint}
		}
	}
	if len(o.Command) > 0 {
		cmd = o.Command
	}
	p.Args, p.Entrypoint = slices.Concat(entrypoint, cmd), entrypoint
	if len(p.Args) == 0 || p.Args[0] == "" {
		return p, ErrNoCommand
	}

	asked, err := environment(o.EnvFiles, o.Env, host)
	if err != nil {
		return p, err
	}
	env := slices.Clone(cfg.Env)
	for _, kv := range asked {
		name, _, given := strings.Cut(kv, "=")
		if !given {
			env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
			continue
		}
		env = append(env, kv) // of two values the later one wins, see runtime.SpecOptions
	}
	p.Env = env
	return p, nil
}

// environment is what -e and --env-file say, the files first: NAME=VALUE, or NAME alone
// where it should have the host's value and the host has none.
func environment(files, vars []string, host func(string) (string, bool)) ([]string, error) {
	var all []string
	for _, name := range files {
		lines, err := envFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	all = append(all, vars...)
	for i, kv := range all {
		name, _, given := strings.Cut(kv, "=")
		if name == "" {
			return nil, fmt.Errorf("invalid environment variable: %q", kv)
		}
		if value, ok := host(name); !given && ok {
			all[i] = name + "=" + value
		}
	}
	return all, nil
}

// envFile reads a file of variables, one a line; lines that begin with # are comments.
func envFile(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimLeft(s.Text(), " \t")
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if line == "" || line[0] == '#' {
			continue
		}
		name, _, _ := strings.Cut(line, "=")
		if name == "" || strings.ContainsAny(name, " \t") || !utf8.ValidString(line) {
			return nil, fmt.Errorf("%s: line %d: invalid environment variable: %q", path, n, line)
		}
		out = append(out, line)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// inits are programs that insist on being process 1, or reap what is left to
// them; in front of any other command cfs puts its own init.
var inits = []string{
	"init", "systemd", "openrc-init", "runit", "runit-init", "s6-svscan", "s6-overlay-suexec",
	"tini", "tini-static", "dumb-init", "catatonit", "docker-init", "supervisord", "runsvdir",
}

// wantsInit tells whether cfs's own init should be process 1 before args.
func wantsInit(args []string) bool { return !slices.Contains(inits, path.Base(args[0])) }

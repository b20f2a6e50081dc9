package imagecmd

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrNoCommand is returned when neither the image nor the person names one.
var ErrNoCommand = errors.New("no command specified")

// A process is what is to run in a container: the image's configuration with
// what the person asked for laid over it.
type process struct {
	Args []string
	Env  []string
	Cwd  string
	User string // as `-u` takes it; resolved against the root's passwd when mounted
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
			return p, fmt.Errorf("the working directory %q is invalid, it needs to be an absolute path", o.Workdir)
		}
		p.Cwd = o.Workdir
	}
	p.Cwd = path.Clean("/" + p.Cwd)

	entrypoint := cfg.Entrypoint
	cmd := cfg.Cmd
	if len(o.Command) > 0 {
		cmd = o.Command
	}
	p.Args = slices.Concat(entrypoint, cmd)
	if len(p.Args) == 0 || p.Args[0] == "" {
		return p, ErrNoCommand
	}

	env := slices.Clone(cfg.Env)
	for _, kv := range o.Env {
		name, _, given := strings.Cut(kv, "=")
		if name == "" {
			return p, fmt.Errorf("invalid environment variable: %q", kv)
		}
		if !given {
			value, ok := host(name)
			if !ok {
				env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
				continue
			}
			kv = name + "=" + value
		}
		env = append(env, kv) // of two values the later one wins, see runtime.SpecOptions
	}
	p.Env = env
	return p, nil
}

// inits are programs that insist on being process 1, or reap what is left to
// them; in front of any other command cfs puts its own init.
var inits = []string{
	"init", "systemd", "openrc-init", "runit", "runit-init", "s6-svscan", "s6-overlay-suexec",
	"tini", "tini-static", "dumb-init", "catatonit", "docker-init", "supervisord", "runsvdir",
}

// wantsInit tells whether cfs's own init should be process 1 before args.
func wantsInit(args []string) bool { return !slices.Contains(inits, path.Base(args[0])) }

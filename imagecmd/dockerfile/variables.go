package dockerfile

import (
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// variables are names with values, in the order they came in.
type variables struct {
	names  []string
	values map[string]string
}

func (v *variables) set(name, value string) {
	if v.values == nil {
		v.values = map[string]string{}
	}
	if _, ok := v.values[name]; !ok {
		v.names = append(v.names, name)
	}
	v.values[name] = value
}

// Get implements [shell.EnvGetter].
func (v *variables) Get(name string) (string, bool) {
	value, ok := v.values[name]
	return value, ok
}

// Keys implements [shell.EnvGetter].
func (v *variables) Keys() []string { return v.names }

func (v *variables) clone() *variables {
	return &variables{slices.Clone(v.names), maps.Clone(v.values)}
}

var _ shell.EnvGetter = (*variables)(nil)

// proxies are arguments that every RUN sees without an ARG, and that neither the
// history nor the cache knows of unless there is one.
var proxies = []string{
	"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy",
}

// globals sets the arguments that FROM lines see: the platforms, then those
// before the first FROM.
func (p *Plan) globals(args []instructions.ArgCommand) error {
	p.global = &variables{}
	for _, kv := range platformArgs(p.options.Build, p.options.For) {
		if given, ok := p.options.Args[kv[0]]; ok {
			kv[1] = given
		}
		p.global.set(kv[0], kv[1])
	}
	p.setTargetStage()
	for _, cmd := range args {
		cmd.Args = slices.Clone(cmd.Args)
		for i := range cmd.Args {
			a := &cmd.Args[i]
			if given, ok := p.options.Args[a.Key]; ok {
				p.use(a.Key)
				a.Value = &given
			} else if a.Value != nil {
				value, err := p.expandGlobal(*a.Value)
				if err != nil {
					return lineError(Line(&cmd), err)
				}
				a.Value = &value
			}
			if a.Value != nil {
				p.global.set(a.Key, *a.Value)
			}
		}
		p.Meta = append(p.Meta, cmd)
	}
	return nil
}

// setTargetStage says what the target is called.
func (p *Plan) setTargetStage() {
	name := "default"
	if p.options.Target != "" {
		name = p.options.Target
	} else if p.Target != nil && p.Target.Name != "" {
		name = p.Target.Name
	}
	if given, ok := p.options.Args["TARGETSTAGE"]; ok {
		name = given
	}
	p.global.set("TARGETSTAGE", name)
}

// platformArgs are the predefined arguments of Docker's Dockerfile reference,
// "Automatic platform ARGs in the global scope".
func platformArgs(build, target ocispec.Platform) [][2]string {
	var out [][2]string
	for _, side := range []struct {
		prefix string
		p      ocispec.Platform
	}{{"BUILD", build}, {"TARGET", target}} {
		name := side.p.OS + "/" + side.p.Architecture
		if side.p.Variant != "" {
			name += "/" + side.p.Variant
		}
		out = append(out, [][2]string{
			{side.prefix + "PLATFORM", name}, {side.prefix + "OS", side.p.OS}, {side.prefix + "OSVERSION", side.p.OSVersion},
			{side.prefix + "ARCH", side.p.Architecture}, {side.prefix + "VARIANT", side.p.Variant},
		}...)
	}
	return out
}

// expandGlobal puts global arguments into a word.
func (p *Plan) expandGlobal(word string) (string, error) {
	word, _, err := shell.NewLex(p.Escape).ProcessWord(word, p.global)
	return word, err
}

// use notes that an argument of the person is declared.
func (p *Plan) use(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used[name] = true
}

// Unused are the arguments of the person that no ARG of the stages that were
// built has declared, sorted. It is known once they are built.
func (p *Plan) Unused() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for name := range p.options.Args {
		if _, known := p.global.values[name]; !known && !p.used[name] && !slices.Contains(proxies, name) && !slices.Contains(settings, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// settings are the arguments that are for the builder (docs.docker.com/reference/dockerfile, "BuildKit built-in build
// args"), of those that cfs has.
var settings = []string{EpochArg, KeepGitArg, "BUILDKIT_INLINE_CACHE", "BUILDKIT_DOCKERFILE_CHECK"}

// KeepGitArg is the argument by which a context that is a git repository keeps its .git.
const KeepGitArg = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"

// EpochArg is the argument that a build is reproducible by; see
// reproducible-builds.org, "SOURCE_DATE_EPOCH". It need not be declared.
const EpochArg = "SOURCE_DATE_EPOCH"

// name is that of NAME=VALUE.
func name(kv string) string {
	n, _, _ := strings.Cut(kv, "=")
	return n
}

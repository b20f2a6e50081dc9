package imagecmd

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/seccomp"
	"github.com/cfs-project/cfs/runtime/userns"
)

// spec is the container's configuration for a user: the zero user as long as
// the root is not mounted, which tells what names mean.
func (m *monitor) spec(user runtime.User) (*specs.Spec, error) {
	c := m.c
	mapping, err := userns.Current()
	if err != nil {
		return nil, err
	}
	o := c.Options
	spec := runtime.DefaultSpec(runtime.SpecOptions{
		Args: c.Process.Args, Env: c.Process.Env, Cwd: c.Process.Cwd, User: user,
		Hostname: c.hostname(m.net.joined), Network: m.net.kind(),
		Terminal: o.TTY, NoNewPrivileges: !o.Privileges, Mapping: mapping,
	})
	for _, kv := range m.req.Env {
		spec.Process.Env = runtime.SetEnv(spec.Process.Env, kv)
	}
	if o.ShapeOptions, err = c.withVolumes(o.ShapeOptions); err != nil {
		return nil, err
	}
	if err := o.shape(spec); err != nil {
		return nil, err
	}
	m.net.join(spec)
	o.showGroup(spec)
	if o.CgroupNS == "host" {
		spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace })
	}
	chosen := o.Seccomp
	if chosen == "" && o.Privileged {
		chosen = Unconfined
	}
	if spec.Linux.Seccomp, err = m.profile.of(spec, chosen, mapping); err != nil {
		return nil, err
	}
	if mapping.Privileged() && !o.Privileged {
		group, err := c.group()
		if err == nil && !group.options.Devices {
			confineNodes(spec)
		}
		return spec, err
	}
	return spec, nil
}

// showGroup mounts the control group of a container with limits where programs look for
// them, as Docker does: many choose the size of heaps and pools by what they may use.
func (o ContainerOptions) showGroup(spec *specs.Spec) {
	const at = "/sys/fs/cgroup"
	if o.Limits.none() || slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, at) }) {
		return
	}
	spec.Mounts = append(spec.Mounts, specs.Mount{
		Destination: at, Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"},
	})
}

// A madeProfile is a container's seccomp profile and what it depends on, kept as its
// specification is made more than once: that of a user is most often that of no user yet.
type madeProfile struct {
	bounding []string
	profile  *specs.LinuxSeccomp
}

func (p *madeProfile) of(spec *specs.Spec, chosen string, m userns.Mapping) (*specs.LinuxSeccomp, error) {
	bounding := spec.Process.Capabilities.Bounding
	if p.bounding == nil || !slices.Equal(p.bounding, bounding) {
		made, err := seccompProfile(spec, chosen, m)
		if err != nil {
			return nil, err
		}
		*p = madeProfile{append([]string{}, bounding...), made}
	}
	if p.profile == nil {
		return nil, nil
	}
	own := *p.profile // confineNodes changes it
	own.Syscalls = slices.Clone(own.Syscalls)
	return &own, nil
}

// seccompProfile is the profile that a person chose, for a container of this
// configuration.
func seccompProfile(spec *specs.Spec, chosen string, m userns.Mapping) (p *specs.LinuxSeccomp, err error) {
	switch chosen {
	case Unconfined:
		return nil, nil
	case "":
		p, err = seccomp.Default(spec)
	default:
		p, err = seccomp.Parse([]byte(chosen), spec)
	}
	if err == nil && p != nil && m.Single() {
		p.Syscalls = slices.Insert(p.Syscalls, 0, singleUser())
	}
	return p, err
}

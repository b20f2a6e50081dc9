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
	return spec, m.confine(spec, mapping)
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

// A madeProfile is a container's seccomp profile, and what of its specification it depends on.
type madeProfile struct {
	bounding []string
	profile  *specs.LinuxSeccomp
}

// confine gives a specification its seccomp profile. It is made more than once, first for no
// user yet, and most often with the same profile, which is not made, nor compiled, again.
func (m *monitor) confine(spec *specs.Spec, mapping userns.Mapping) (err error) {
	bounding := spec.Process.Capabilities.Bounding
	if made := m.profile; made != nil && slices.Equal(made.bounding, bounding) {
		spec.Linux.Seccomp = made.profile
		return nil
	}
	o := m.c.Options
	chosen := o.Seccomp
	if chosen == "" && o.Privileged {
		chosen = Unconfined
	}
	if spec.Linux.Seccomp, err = seccompProfile(spec, chosen, mapping); err != nil {
		return err
	}
	if mapping.Privileged() && !o.Privileged {
		group, err := m.c.group()
		if err != nil {
			return err
		}
		if !group.options.Devices {
			confineNodes(spec)
		}
	}
	m.profile = &madeProfile{slices.Clone(bounding), spec.Linux.Seccomp}
	return nil
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

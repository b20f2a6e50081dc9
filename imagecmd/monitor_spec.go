package imagecmd

import (
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/seccomp"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// spec is the container's configuration for a user: the zero user as long as
// the root is not mounted, which tells what names mean.
func (c *Container) spec(req monitorRequest, user runtime.User) (*specs.Spec, error) {
	mapping, err := userns.Current()
	if err != nil {
		return nil, err
	}
	o := req.Options
	spec := runtime.DefaultSpec(runtime.SpecOptions{
		Args: req.Process.Args, Env: req.Process.Env, Cwd: req.Process.Cwd, User: user,
		Hostname: c.hostname(o), Network: runtime.Network(o.Network),
		Terminal: o.TTY, NoNewPrivileges: !o.Privileges, Mapping: mapping,
	})
	spec.Linux.Seccomp, err = seccompProfile(spec, o.Seccomp, mapping)
	return spec, err
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

// singleUser answers calls that need an id which doesn't exist, as there is only one, as
// if they had been done: package managers unpack files of many owners, and stop
// where they can't.
func singleUser() specs.LinuxSyscall {
	var done uint
	return specs.LinuxSyscall{
		Names: []string{
			"chown", "chown32", "fchown", "fchown32", "lchown", "lchown32", "fchownat",
			"setgroups", "setgroups32",
		},
		Action: specs.ActErrno, ErrnoRet: &done,
	}
}

// hostname is what the container is called: as asked for, or as the host on the
// host's network, or by its ID, as Docker does.
func (c *Container) hostname(o RunOptions) string {
	if o.Hostname != "" {
		return o.Hostname
	}
	if o.Network == string(runtime.NetworkHost) {
		if name, err := os.Hostname(); err == nil {
			return name
		}
	}
	return c.ShortID()
}

// process runs the container's process in the mounted root.
func (c *Container) process(l *stage.Link, rootfs string, req monitorRequest, o runtime.Options) (int, error) {
	user, err := runtime.LookupUser(rootfs, req.Process.User)
	if err != nil {
		return runtime.StatusFailed, err
	}
	spec, err := c.spec(req, user)
	if err != nil {
		return runtime.StatusFailed, err
	}
	root, err := os.OpenRoot(rootfs)
	if err != nil {
		return runtime.StatusFailed, err
	}
	defer root.Close()
	files, err := writeHostFiles(c.dir, root, spec.Hostname, req.Options.Network)
	if err != nil {
		return runtime.StatusFailed, err
	}
	defer files.removeStubs(root)
	spec.Mounts = append(spec.Mounts, files.mounts...)

	o.Init = req.Options.Init
	if !req.Options.InitSet {
		o.Init = wantsInit(spec.Process.Args)
	}
	o.MakeCwd = true
	o.Signals = l.Signals()
	return runtime.Run(l.Context(), runtime.Bundle{Dir: c.dir, Root: rootfs, Spec: spec}, o)
}

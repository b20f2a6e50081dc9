package imagecmd

import (
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/runtime"
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
	return runtime.DefaultSpec(runtime.SpecOptions{
		Args: req.Process.Args, Env: req.Process.Env, Cwd: req.Process.Cwd, User: user,
		Hostname: c.hostname(o), Network: runtime.Network(o.Network),
		Terminal: o.TTY, NoNewPrivileges: !o.Privileges, Mapping: mapping,
	}), nil
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

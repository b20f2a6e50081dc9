package imagecmd

import (
	"path/filepath"
	"time"

	"github.com/docker/go-connections/nat"
	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// ContainerObject is a container as `docker container inspect` shows it, with its
// fields in its order. Those that mean nothing here have the values of a container
// that doesn't use them.
type ContainerObject struct {
	ID      string `json:"Id"`
	Created time.Time
	Path    string
	Args    []string
	State   ContainerState
	Image   digest.Digest
	ContainerPaths
	Name            string // with a slash before it
	RestartCount    int
	Driver          string
	Platform        string
	MountLabel      string // of SELinux, as the next
	ProcessLabel    string
	AppArmorProfile string
	ExecIDs         []string
	HostConfig      HostConfig
	GraphDriver     GraphDriver
	SizeRw          *int64 `json:",omitempty"` // bytes of the files it has changed
	SizeRootFs      *int64 `json:",omitempty"` // the same with its image's
	MountedAt       string `json:",omitempty"` // where on the host `cfs mount` shows it
	Mounts          []MountPoint
	Config          ContainerConfig
	NetworkSettings NetworkSettings
}

// ContainerPaths are files of the host that belong to a container.
type ContainerPaths struct {
	ResolvConfPath string
	HostnamePath   string
	HostsPath      string
	LogPath        string // empty: its output is not kept
}

// ContainerState is where a container is in its life.
type ContainerState struct {
	Status     string // created, running, paused, restarting, exited, removing
	Running    bool
	Paused     bool
	Restarting bool
	OOMKilled  bool
	Dead       bool
	Pid        int // of its process 1, as its monitor sees it; 0 if it doesn't run
	ExitCode   int
	Error      string
	StartedAt  time.Time
	FinishedAt time.Time
	Health     *Health `json:",omitempty"`
}

// ContainerConfig is what a container runs.
type ContainerConfig struct {
	Hostname     string
	Domainname   string
	User         string
	AttachStdin  bool // to the command that made it, as the next
	AttachStdout bool
	AttachStderr bool
	ExposedPorts nat.PortSet `json:",omitempty"` // those that the image or a person says there are
	Tty          bool
	OpenStdin    bool
	StdinOnce    bool
	Env          []string
	Cmd          []string
	Healthcheck  *Healthcheck        `json:",omitempty"`
	Image        string              // as it was asked for
	Volumes      map[string]struct{} // places of anonymous volumes
	WorkingDir   string
	Entrypoint   []string
	OnBuild      []string
	Labels       map[string]string
	StopSignal   string `json:",omitempty"`
	StopTimeout  *int   `json:",omitempty"` // seconds
}

// inspectContainer fails with ErrNoContainer where there is none of that name.
func inspectContainer(st *store.Store, name string, size bool) (*ContainerObject, error) {
	c, err := OpenContainers(st.Root()).Find(name)
	if err != nil {
		return nil, err
	}
	state, err := c.State()
	if err != nil {
		return nil, err
	}
	o := &ContainerObject{
		ID: c.ID, Created: c.Created, Args: []string{}, State: c.objectState(state), Image: c.ImageID,
		Name: "/" + c.Label(), RestartCount: state.Restarts, Driver: state.Driver, Platform: "linux",
		HostConfig: c.hostConfig(), Config: c.objectConfig(), Mounts: c.mountPoints(), NetworkSettings: c.networkSettings(false),
	}
	if c.MountedAt == "" {
		o.ContainerPaths = c.paths()
	}
	if len(c.Command) > 0 {
		o.Path, o.Args = c.Command[0], c.Command[1:]
	}
	if c.MountedAt != "" && o.State.Running {
		o.MountedAt = c.MountedAt
	}
	if o.State.Health, err = c.health(o.State.Running); err != nil {
		return nil, err
	}
	if c.MountedAt == "" {
		o.NetworkSettings = c.networkSettings(o.State.Running)
	}
	o.GraphDriver = packed(st.ChainPaths(c.Layers))
	if state.Driver != "" {
		o.GraphDriver.Name = state.Driver
	}
	if !c.ReadOnly {
		o.GraphDriver.Data["UpperDir"] = filepath.Join(c.dir, upperDir)
	}
	if size {
		err = o.count(st, c)
	}
	return o, err
}

func (c *Container) objectState(s State) ContainerState {
	o := ContainerState{Running: c.Running(), ExitCode: s.Status, Error: s.Error, StartedAt: s.Started, FinishedAt: s.Finished, OOMKilled: s.OOMKilled}
	switch {
	case o.Running && c.going(): // whoever removes it holds it
		o.Running, o.Status = false, "removing"
	case o.Running && s.Restarting:
		o.Status, o.Restarting = "restarting", true
	case o.Running && s.Paused:
		o.Status, o.Paused, o.Pid = "paused", true, s.Pid
	case o.Running:
		o.Status, o.Pid = "running", s.Pid
	case c.MountedAt == "" && s.Started.IsZero():
		o.Status = "created"
	case c.MountedAt == "" && s.Finished.IsZero(): // its monitor was killed
		o.Status, o.ExitCode = "exited", statusKilled
	default:
		o.Status = "exited"
	}
	return o
}

// objectConfig is what the container runs.
func (c *Container) objectConfig() ContainerConfig {
	o := c.Options
	x := ContainerConfig{
		Hostname: c.hostname(nil), Domainname: o.Domainname, User: c.Process.User, Tty: o.TTY, OpenStdin: o.Interactive, ExposedPorts: o.exposedPorts(),
		AttachStdin: o.Attached && o.Interactive, AttachStdout: o.Attached, AttachStderr: o.Attached, StdinOnce: o.Attached && o.Interactive,
		Env: c.Process.Env, Image: c.Image, WorkingDir: c.Process.Cwd, Entrypoint: c.Process.Entrypoint,
		Healthcheck: o.Health, Labels: o.Labels, StopSignal: o.StopSignal, StopTimeout: o.StopTimeout,
	}
	if rest := c.Command[min(len(c.Process.Entrypoint), len(c.Command)):]; len(rest) > 0 {
		x.Cmd = rest
	}
	if x.Env == nil {
		x.Env = []string{}
	}
	if x.Labels == nil {
		x.Labels = map[string]string{}
	}
	for _, m := range o.Mounts {
		if m.Anonymous {
			if x.Volumes == nil {
				x.Volumes = map[string]struct{}{}
			}
			x.Volumes[m.Target] = struct{}{}
		}
	}
	return x
}

// paths are the container's files on the host.
func (c *Container) paths() ContainerPaths {
	p := ContainerPaths{ResolvConfPath: c.path("resolv.conf"), HostnamePath: c.path("hostname"), HostsPath: c.path("hosts")}
	if !c.Options.Log.None {
		p.LogPath = c.path(containerLog)
	}
	return p
}

// count fills in the sizes.
func (o *ContainerObject) count(st *store.Store, c *Container) error {
	changed, err := containerSize(st.Root(), c)
	if err != nil {
		return err
	}
	below, err := st.ChainSize(c.Layers)
	if err != nil {
		return err
	}
	whole := changed + below
	o.SizeRw, o.SizeRootFs = &changed, &whole
	return nil
}

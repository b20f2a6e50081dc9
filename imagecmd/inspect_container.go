package imagecmd

import (
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// ContainerObject is a container as `docker container inspect` shows it: those
// of Docker's fields of which something is known.
type ContainerObject struct {
	ID           string `json:"Id"`
	Created      time.Time
	Path         string
	Args         []string
	State        ContainerState
	Image        digest.Digest
	Name         string // with a slash before it
	RestartCount int
	Driver       string
	Platform     string
	HostConfig   HostConfig
	GraphDriver  GraphDriver
	SizeRw       *int64 `json:",omitempty"` // bytes of the files it has changed
	SizeRootFs   *int64 `json:",omitempty"` // the same with its image's
	MountedAt    string `json:",omitempty"` // where on the host `cfs mount` shows it
	Config       ContainerConfig
}

// ContainerState is where a container is in its life.
type ContainerState struct {
	Status     string // created, running, paused, exited
	Running    bool
	Paused     bool
	Restarting bool
	OOMKilled  bool
	Pid        int // of its process 1, as its monitor sees it; 0 if it doesn't run
	ExitCode   int
	Error      string
	StartedAt  time.Time
	FinishedAt time.Time
	Health     *Health `json:",omitempty"`
}

// HostConfig is how a container was asked to meet its host.
type HostConfig struct {
	AutoRemove     bool
	ReadonlyRootfs bool
	NetworkMode    string            `json:",omitempty"`
	LogConfig      *LogConfig        `json:",omitempty"`
	Binds          []string          `json:",omitempty"` // SOURCE:TARGET:OPTIONS
	Tmpfs          map[string]string `json:",omitempty"`
	CapAdd         []string          `json:",omitempty"`
	CapDrop        []string          `json:",omitempty"`
	Privileged     bool
	ShmSize        int64             `json:",omitempty"` // bytes
	Sysctls        map[string]string `json:",omitempty"`
	GroupAdd       []string          `json:",omitempty"`
	ExtraHosts     []string          `json:",omitempty"`
	DNS            []string          `json:"Dns,omitempty"`
	OomScoreAdj    int
	HostLimits
}

// LogConfig is how a container's output is kept.
type LogConfig struct {
	Type   string
	Config map[string]string
}

// ContainerConfig is what a container runs.
type ContainerConfig struct {
	Hostname    string `json:",omitempty"`
	Domainname  string `json:",omitempty"`
	User        string
	Tty         bool
	OpenStdin   bool
	Env         []string `json:",omitempty"`
	Cmd         []string // the whole command, with the image's entrypoint
	Image       string   // as it was asked for
	WorkingDir  string
	Healthcheck *Healthcheck      `json:",omitempty"`
	Labels      map[string]string `json:",omitempty"`
	StopSignal  string            `json:",omitempty"`
	StopTimeout *int              `json:",omitempty"` // seconds
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
		HostConfig: c.hostConfig(), Config: c.objectConfig(),
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

// hostConfig is how the container was asked to meet its host.
func (c *Container) hostConfig() HostConfig {
	o := c.Options
	h := HostConfig{
		AutoRemove: c.AutoRemove, ReadonlyRootfs: c.ReadOnly || o.ReadOnly, NetworkMode: o.Network, CapAdd: o.CapAdd, CapDrop: o.CapDrop,
		Privileged: o.Privileged, ShmSize: o.ShmSize, Sysctls: o.Sysctls, GroupAdd: o.GroupAdd, ExtraHosts: o.ExtraHosts, DNS: o.DNS,
	}
	if c.MountedAt != "" {
		return h
	}
	h.HostLimits = o.hostLimits()
	if o.OOMScoreAdj != nil {
		h.OomScoreAdj = *o.OOMScoreAdj
	}
	h.LogConfig = &LogConfig{Type: "json-file", Config: map[string]string{}}
	if o.Log.None {
		h.LogConfig.Type = "none"
	}
	if o.Log.MaxSize > 0 {
		h.LogConfig.Config["max-size"] = strconv.FormatInt(o.Log.MaxSize, 10)
	}
	if o.Log.MaxFiles > 0 {
		h.LogConfig.Config["max-file"] = strconv.Itoa(o.Log.MaxFiles)
	}
	for _, m := range o.Mounts {
		options := strings.Join(m.Options, ",")
		if m.Type != "tmpfs" {
			h.Binds = append(h.Binds, m.Source+":"+m.Target+":"+options)
			continue
		}
		if h.Tmpfs == nil {
			h.Tmpfs = map[string]string{}
		}
		h.Tmpfs[m.Target] = options
	}
	return h
}

// objectConfig is what the container runs.
func (c *Container) objectConfig() ContainerConfig {
	o := c.Options
	return ContainerConfig{
		Hostname: o.Hostname, Domainname: o.Domainname, User: c.Process.User, Tty: o.TTY, OpenStdin: o.Interactive,
		Env: c.Process.Env, Cmd: c.Command, Image: c.Image, WorkingDir: c.Process.Cwd,
		Healthcheck: o.Health, Labels: o.Labels, StopSignal: o.StopSignal, StopTimeout: o.StopTimeout,
	}
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

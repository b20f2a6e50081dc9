package imagecmd

import (
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// ContainerObject is a container as `docker container inspect` shows it: those
// of Docker's fields of which something is known.
type ContainerObject struct {
	ID          string `json:"Id"`
	Created     time.Time
	Path        string
	Args        []string
	State       ContainerState
	Image       digest.Digest
	Name        string // with a slash before it
	Driver      string
	Platform    string
	HostConfig  HostConfig
	GraphDriver GraphDriver
	SizeRw      *int64 `json:",omitempty"` // bytes of the files it has changed
	SizeRootFs  *int64 `json:",omitempty"` // the same with its image's
	MountedAt   string `json:",omitempty"` // where on the host `cfs mount` shows it
	Config      ContainerConfig
}

// ContainerState is where a container is in its life.
type ContainerState struct {
	Status     string // running, exited, dead (killed before it could say how it ended)
	Running    bool
	Dead       bool
	ExitCode   int
	Error      string
	StartedAt  time.Time
	FinishedAt time.Time
}

// HostConfig is how a container was asked to meet its host.
type HostConfig struct {
	AutoRemove     bool
	ReadonlyRootfs bool
}

// ContainerConfig is what a container runs.
type ContainerConfig struct {
	Cmd   []string // the whole command, with the image's entrypoint
	Image string   // as it was asked for
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
		Name: "/" + c.Label(), Driver: state.Driver, Platform: "linux",
		HostConfig: HostConfig{AutoRemove: c.AutoRemove, ReadonlyRootfs: c.ReadOnly},
		Config:     ContainerConfig{Cmd: c.Command, Image: c.Image},
	}
	if len(c.Command) > 0 {
		o.Path, o.Args = c.Command[0], c.Command[1:]
	}
	if c.MountedAt != "" && o.State.Running {
		o.MountedAt = c.MountedAt
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
	o := ContainerState{Running: c.Running(), ExitCode: s.Status, Error: s.Error, StartedAt: s.Started, FinishedAt: s.Finished}
	switch {
	case o.Running:
		o.Status = "running"
	case c.MountedAt == "" && s.Finished.IsZero():
		o.Status, o.Dead = "dead", true
	default:
		o.Status = "exited"
	}
	return o
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

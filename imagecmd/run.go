package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/term"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/internal/wire"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// RunOptions is what `cfs run` and `cfs create` were asked for.
type RunOptions struct {
	Image      string
	Command    []string
	Entrypoint *string // nil: the image's; empty: none
	Env        []string
	EnvFiles   []string
	Workdir    string
	User       string // USER[:GROUP]
	Name       string
	Driver     string
	MaxSize    int64    // --storage-opt size, in bytes
	CIDFile    string   // gets the container's ID; must not be there yet
	Remove     bool     // --rm
	Detach     bool     // -d
	Attach     []string // of stdin, stdout and stderr those that the command is attached to; none: all
	Debug      bool
	Source     ImageSource
	ContainerOptions

	kept   bool        // made to be started later
	places mountPlaces // of a step of a build
	views  []view
}

// ContainerOptions are kept with a container, for every time that it starts.
type ContainerOptions struct {
	Interactive bool              `json:"interactive,omitempty"` // -i: there is a standard input
	Attached    bool              `json:"attached,omitempty"`    // made by a command that stays with it, or without -d
	TTY         bool              `json:"tty,omitempty"`         // -t
	Hostname    string            `json:"hostname,omitempty"`
	Network     string            `json:"network,omitempty"` // as ParseNetwork has it
	Publish     []PublishedPort   `json:"publish,omitempty"`
	PublishAll  bool              `json:"publishAll,omitempty"` // every port of Expose
	Expose      []string          `json:"expose,omitempty"`     // PORT/PROTOCOL
	Init        bool              `json:"init,omitempty"`       // run cfs's init as process 1
	InitSet     bool              `json:"initSet,omitempty"`    // Init was said by the person, not by default
	Privileges  bool              `json:"privileges,omitempty"` // let setuid programs and file capabilities give privileges
	Seccomp     string            `json:"seccomp,omitempty"`    // Unconfined, or a profile as JSON; "" is Docker's default profile
	Labels      map[string]string `json:"labels,omitempty"`
	StopSignal  string            `json:"stopSignal,omitempty"`  // empty: SIGTERM
	StopTimeout *int              `json:"stopTimeout,omitempty"` // seconds; nil: DefaultStopTimeout
	Log         LogOptions        `json:"log,omitzero"`
	ShapeOptions
	GroupOptions
	LifeOptions
}

// ShapeOptions are what a person changes of the configuration that Docker would give a
// container.
type ShapeOptions struct {
	ReadOnly    bool              `json:"readOnlyRoot,omitempty"` // the root can't be written to
	Mounts      []MountOption     `json:"mounts,omitempty"`
	VolumesFrom []string          `json:"volumesFrom,omitempty"` // CONTAINER[:MODE], whose volumes are among the mounts
	ShmSize     int64             `json:"shmSize,omitempty"`     // bytes of /dev/shm; 0: Docker's 64 MiB
	CapAdd      []string          `json:"capAdd,omitempty"`
	CapDrop     []string          `json:"capDrop,omitempty"`
	Privileged  bool              `json:"privileged,omitempty"` // all capabilities and devices, nothing masked
	Devices     []DeviceOption    `json:"devices,omitempty"`
	Ulimits     []string          `json:"ulimits,omitempty"` // NAME=SOFT[:HARD]
	Sysctls     map[string]string `json:"sysctls,omitempty"`
	GroupAdd    []string          `json:"groupAdd,omitempty"` // names or numbers
	OOMScoreAdj *int              `json:"oomScoreAdj,omitempty"`
	IPC         string            `json:"ipc,omitempty"`         // private (or empty), none or host
	UTS         string            `json:"uts,omitempty"`         // host, or empty: the container's own
	Annotations map[string]string `json:"annotations,omitempty"` // of its OCI configuration
	Domainname  string            `json:"domainname,omitempty"`
	ExtraHosts  []string          `json:"extraHosts,omitempty"` // NAME:ADDRESS
	DNS         []string          `json:"dns,omitempty"`        // addresses of name servers
	DNSSearch   []string          `json:"dnsSearch,omitempty"`
	DNSOptions  []string          `json:"dnsOptions,omitempty"`
}

// LogOptions is how a container's output is kept.
type LogOptions struct {
	None     bool  `json:"none,omitempty"`
	MaxSize  int64 `json:"maxSize,omitempty"`  // bytes of a file; 0: no bound
	MaxFiles int   `json:"maxFiles,omitempty"` // files kept; 0 is 1
}

// Unconfined is the seccomp profile of a container without one.
const Unconfined = "unconfined"

// ErrNoTerminal is returned when a terminal is asked for and there is none.
var ErrNoTerminal = errors.New("the input device is not a TTY")

// Run runs a command in a new container and returns its exit status: that of the
// process, 128+N after signal N, 126 or 127 when it can't be executed or
// found, 125 with an error when cfs itself failed.
//
// This process (P) keeps the terminal, the signals and the exit status. The
// container lives below a monitor (S, see monitorMain), which cleans up when
// this process dies.
func Run(ctx context.Context, st *store.Store, o RunOptions) (int, error) {
	if err := o.check(); err != nil {
		return runtime.StatusFailed, err
	}
	if !o.Detach && o.TTY && o.Interactive && !term.IsTerminal(int(os.Stdin.Fd())) {
		return runtime.StatusFailed, ErrNoTerminal
	}
	stage.Prepare()
	c, chain, release, err := newContainer(ctx, st, o)
	if err != nil {
		return runtime.StatusFailed, err
	}
	defer release()
	defer c.close()
	req := monitorRequest{
		Root: st.Root(), ID: c.ID, Container: c, Chain: chain, Detach: o.Detach, Attach: !o.Detach, Only: o.Attach, Debug: o.Debug,
	}
	req.Interactive = o.Interactive && !o.Detach && req.attaches("stdin")
	return c.run(req, os.Stdout)
}

// check refuses what can't be.
func (o RunOptions) check() error {
	if len(o.Attach) > 0 && o.Detach {
		return errors.New("conflicting options: cannot specify both --attach and --detach")
	}
	for _, s := range o.Attach {
		if !slices.Contains([]string{"stdin", "stdout", "stderr"}, s) {
			return fmt.Errorf("invalid argument %q for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR", s)
		}
	}
	return errors.Join(o.checkSpaces(o.Hostname), o.checkNetwork())
}

// newContainer makes a container that is asked for, held by this process, with the chain
// that it stands on, until release.
func newContainer(ctx context.Context, st *store.Store, o RunOptions) (c *Container, chain cow.Chain, release func(), err error) {
	if o.Driver == "" {
		o.Driver = os.Getenv("CFS_DRIVER")
	}
	if err := checkDriver(st.Root(), o.Driver); err != nil { // before an image is pulled
		return nil, chain, nil, err
	}
	image, err := o.Source.image(ctx, st, o.Image)
	if err != nil {
		return nil, chain, nil, err
	}
	if chain, release, err = st.Chain(ctx, image); err != nil {
		return nil, chain, nil, err
	}
	drop := release
	defer func() {
		if err != nil {
			drop()
		}
	}()
	proc, err := newProcess(image.Config.Config, o, os.LookupEnv)
	if err != nil {
		return nil, chain, nil, err
	}
	opts := o.ContainerOptions
	opts.Attached = !o.Detach
	opts.Labels = withLabels(image.Config.Config.Labels, opts.Labels)
	if opts.Mounts, err = OpenContainers(st.Root()).assemble(opts.Mounts, opts.VolumesFrom, image.Config.Config.Volumes); err != nil {
		return nil, chain, nil, err
	}
	opts.Expose = exposedPorts(image.Config.Config.ExposedPorts, o.Expose)
	if opts.Network, err = OpenContainers(st.Root()).networkOf(o.Network); err != nil {
		return nil, chain, nil, err
	}
	if opts.StopSignal == "" {
		opts.StopSignal = image.Config.Config.StopSignal
	}
	if opts.StopSignal != "" {
		if _, err := parseSignal(opts.StopSignal); err != nil {
			return nil, chain, nil, err
		}
	}
	if opts.Network == string(runtime.NetworkHost) && len(opts.Publish) > 0 {
		fmt.Fprintln(os.Stderr, "cfs: WARNING: Published ports are discarded when using host network mode") // Docker's words
	}
	opts.Limits = opts.Limits.filled()
	if err := opts.fromImage(ctx, st, image); err != nil {
		return nil, chain, nil, err
	}
	plan := Container{
		Name: o.Name, Image: o.Image, ImageID: image.ID, Layers: image.Config.RootFS.DiffIDs,
		Driver: o.Driver, MaxSize: o.MaxSize, Command: proc.Args, Cmd: o.Command, Entrypoint: o.Entrypoint, AutoRemove: o.Remove, Kept: o.kept, CIDFile: o.CIDFile,
		Process: proc, Options: opts, Places: o.places, Views: o.views,
	}
	if err := plan.checkGroup(); err != nil {
		return nil, chain, nil, err
	}
	c, err = OpenContainers(st.Root()).Create(plan)
	if err == nil && o.CIDFile != "" {
		if err = writeCIDFile(o.CIDFile, c.ID); err != nil {
			err = errors.Join(err, c.discard())
		}
	}
	return c, chain, release, err
}

// run starts the monitor and attends it until the container has ended, or, to be
// detached, until it runs: then its ID is printed.
func (c *Container) run(req monitorRequest, out io.Writer) (int, error) {
	mapping, problems := userns.Detect()
	for _, p := range problems {
		if p.Fatal {
			return runtime.StatusFailed, errors.Join(hint.With(p, p.Hint), c.discard())
		}
	}
	stdio := stage.Stdio{Err: os.Stderr}
	if req.Attach && req.attaches("stdout") {
		stdio.Out = os.Stdout
	}
	if req.Interactive {
		stdio.In = os.Stdin
	}
	p, err := c.startMonitor(mapping, req.Root, wire.Marshal(&req), stdio)
	if err != nil {
		return runtime.StatusFailed, errors.Join(err, c.discard())
	}
	var status int
	if req.Detach {
		var detached bool
		if detached, status, err = p.Detach(); detached {
			_, err := fmt.Fprintln(out, c.ID)
			return 0, err
		}
	} else {
		status, err = p.Attend()
	}
	if err != nil && c.AutoRemove { // the monitor was killed, and with it the container
		c.close()
		err = errors.Join(err, RemoveContainer(context.Background(), req.Root, c.ID, slog.New(slog.DiscardHandler)))
	}
	return status, err
}

// discard removes a container that nothing was ever started in.
func (c *Container) discard() error {
	if s, err := c.State(); err != nil || s.Driver != "" {
		return err
	}
	c.AutoRemove = true // and so do the volumes that were made for it
	return c.remove(context.Background(), nil)
}

// resolveImage finds an image in the store; the built-in one is put there first.
func resolveImage(ctx context.Context, st *store.Store, name string) (store.Image, error) {
	if IsHello(name) {
		return Hello(ctx, st)
	}
	image, err := st.Resolve(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return image, hint.With(err, "cfs images lists what is there; cfs load and cfs import bring more")
	}
	return image, err
}

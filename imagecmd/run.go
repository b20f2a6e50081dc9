package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/term"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// RunOptions is what `cfs run` was asked for.
type RunOptions struct {
	Image       string
	Command     []string
	Remove      bool // --rm
	Interactive bool // -i
	TTY         bool // -t
	Env         []string
	Workdir     string
	User        string // USER[:GROUP]
	Name        string
	Hostname    string
	Network     string // none or host
	Init        bool   // run cfs's init as process 1
	InitSet     bool   // Init was said by the person, not by default
	Privileges  bool   // let setuid programs and file capabilities give privileges
	// Seccomp is Unconfined, or a profile as JSON; "" is Docker's default profile.
	Seccomp string
	Driver  string
	MaxSize int64 // --storage-opt size, in bytes
	Debug   bool
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
	if !slices.Contains([]string{"none", "host"}, o.Network) {
		return runtime.StatusFailed, fmt.Errorf("network %q is not supported: there are none and host", o.Network)
	}
	if o.TTY && o.Interactive && !term.IsTerminal(int(os.Stdin.Fd())) {
		return runtime.StatusFailed, ErrNoTerminal
	}
	if o.Driver == "" {
		o.Driver = os.Getenv("CFS_DRIVER")
	}
	image, err := resolveImage(ctx, st, o.Image)
	if err != nil {
		return runtime.StatusFailed, err
	}
	chain, release, err := st.Chain(ctx, image)
	if err != nil {
		return runtime.StatusFailed, err
	}
	defer release()
	proc, err := newProcess(image.Config.Config, o, os.LookupEnv)
	if err != nil {
		return runtime.StatusFailed, err
	}

	c, err := OpenContainers(st.Root()).Create(Container{
		Name: o.Name, Image: o.Image, ImageID: image.ID, Layers: image.Config.RootFS.DiffIDs,
		Driver: o.Driver, MaxSize: o.MaxSize, Command: proc.Args, AutoRemove: o.Remove,
	})
	if err != nil {
		return runtime.StatusFailed, err
	}
	defer c.close()
	return c.run(o, monitorRequest{
		Root: st.Root(), ID: c.ID, Chain: chain, Process: proc, Options: o,
	})
}

// run starts the monitor and attends it until the container has ended.
func (c *Container) run(o RunOptions, req monitorRequest) (int, error) {
	mapping, problems := userns.Detect()
	for _, p := range problems {
		if p.Fatal {
			return runtime.StatusFailed, errors.Join(hint.With(p, p.Hint), c.discard())
		}
	}
	payload, err := json.Marshal(req)
	if err != nil {
		return runtime.StatusFailed, err
	}
	stdio := stage.Stdio{Out: os.Stdout, Err: os.Stderr}
	if o.Interactive {
		stdio.In = os.Stdin
	}
	p, err := stage.Start(mapping, monitorStage, payload, stdio)
	if err != nil {
		return runtime.StatusFailed, errors.Join(err, c.discard())
	}
	status, err := p.Attend()
	if err != nil && c.AutoRemove { // the monitor was killed, and with it the container
		c.close()
		err = errors.Join(err, RemoveContainer(context.Background(), req.Root, c.ID, slog.New(slog.DiscardHandler)))
	}
	return status, err
}

// discard removes a container that nothing was ever started in.
func (c *Container) discard() error {
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

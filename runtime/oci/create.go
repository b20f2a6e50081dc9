package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/renameio/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/cgroup"
	"github.com/cfs-project/cfs/runtime/network"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// CreateOptions are what `create` and `run` take.
type CreateOptions struct {
	ID     string
	Bundle string // a directory that holds config.json
	// PIDFile, if given, is written with the first process's id.
	PIDFile string
	// ConsoleSocket is a socket that is sent the master of the container's terminal. It
	// is needed where the configuration asks for a terminal, unless Console is given.
	ConsoleSocket string
	Console       func(master *os.File)
	PreserveFDs   int
	// NewKeyring gives the container a session keyring of its own.
	NewKeyring bool
	Stdio      stage.Stdio
}

// Create makes a container that waits to be started. If it fails there is none.
func (r *Runtime) Create(ctx context.Context, o CreateOptions) (*Container, *runtime.Init, error) {
	c, spec, err := r.prepare(o)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(r.Root, 0o700); err != nil {
		return nil, nil, err
	}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("container %q: %w", o.ID, ErrExist)
		}
		return nil, nil, err
	}
	i, err := c.create(ctx, spec, o)
	if err != nil {
		_ = os.RemoveAll(c.dir)
		return nil, nil, err
	}
	return c, i, nil
}

// prepare reads the bundle and checks what needs no container yet.
func (r *Runtime) prepare(o CreateOptions) (*Container, *specs.Spec, error) {
	if err := checkID(o.ID); err != nil {
		return nil, nil, err
	}
	if m, _ := userns.Detect(); !m.Privileged() {
		return nil, nil, ErrPrivilege
	}
	bundle, err := filepath.Abs(o.Bundle)
	if err != nil {
		return nil, nil, err
	}
	spec, err := readSpec(filepath.Join(bundle, configFile))
	if err != nil {
		return nil, nil, err
	}
	if spec.Root == nil || spec.Root.Path == "" {
		return nil, nil, fmt.Errorf("%w: root is missing", runtime.ErrInvalid)
	}
	terminal := spec.Process != nil && spec.Process.Terminal
	if o.ConsoleSocket != "" && !terminal {
		return nil, nil, fmt.Errorf("a console socket is of use for a process with a terminal alone (process.terminal)")
	}
	if terminal && o.ConsoleSocket == "" && o.Console == nil {
		return nil, nil, fmt.Errorf("process.terminal needs --console-socket, where the terminal is sent to")
	}
	root := spec.Root.Path
	if !filepath.IsAbs(root) {
		root = filepath.Join(bundle, root)
	}
	return &Container{
		ID: o.ID, Bundle: bundle, Root: root, Created: time.Now().UTC(), Owner: uint32(os.Geteuid()),
		dir: filepath.Join(r.Root, o.ID), r: r,
	}, spec, nil
}

func (c *Container) create(ctx context.Context, spec *specs.Spec, o CreateOptions) (_ *runtime.Init, err error) {
	lock, err := c.lock(unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := copyConfig(filepath.Join(c.Bundle, configFile), c.path(configFile)); err != nil {
		return nil, err
	}
	group, err := c.newGroup(spec)
	if err != nil {
		return nil, err
	}
	// Should we be killed, the cgroup is found and removed with the container.
	if err := c.save(); err != nil {
		return nil, err
	}
	waiting, err := os.OpenFile(c.path(waitingFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer waiting.Close()
	if err := flock(waiting, unix.LOCK_EX); err != nil {
		return nil, err
	}
	listener, err := listen(c.dir, startSocket)
	if err != nil {
		return nil, err
	}
	defer listener.Close()

	var devices *network.Devices
	defer func() {
		if err != nil {
			if e := devices.Restore(); e != nil {
				c.r.warn("%v", e)
			}
		}
		devices.Close()
	}()
	var consoleErr error
	creation := runtime.Creation{
		Listener: listener, Waiting: waiting,
		Options: runtime.Options{
			ID: c.ID, Stdio: o.Stdio, PreserveFDs: o.PreserveFDs, Warn: func(s string) { c.r.warn("%s", s) },
			Placed: func(pid int) error {
				if err := group.Apply(pid); err != nil || spec.Linux == nil {
					return err
				}
				devices, err = network.MoveDevices(spec.Linux.NetDevices, fmt.Sprintf("/proc/%d/ns/net", pid))
				return err
			},
			NewKeyring: o.NewKeyring,
		},
		Created: func(pid int) error {
			if consoleErr != nil {
				return consoleErr
			}
			c.Mounted = runtime.SharesMounts(spec)
			return c.created(pid, group, o.PIDFile)
		},
	}
	if spec.Process != nil && spec.Process.Terminal {
		creation.Console = o.Console
		if o.ConsoleSocket != "" {
			creation.Console = func(master *os.File) { consoleErr = sendConsole(o.ConsoleSocket, master) }
		}
	}
	i, err := runtime.Create(ctx, runtime.Bundle{Dir: c.Bundle, Root: c.Root, Spec: spec}, creation)
	if err != nil {
		if e := group.Destroy(); e != nil {
			c.r.warn("%v", e)
		}
		return nil, err
	}
	return i, nil
}

// newGroup prepares the cgroup that the configuration asks for.
func (c *Container) newGroup(spec *specs.Spec) (*cgroup.Group, error) {
	if c.r.NoCgroups {
		return cgroup.Open(cgroup.Options{}, nil)
	}
	o := cgroup.Options{ID: c.ID, Systemd: c.r.Systemd, Rootless: c.r.rootless(), Devices: !c.r.rootless()}
	if spec.Linux != nil {
		o.Path, o.Resources, o.Owner = spec.Linux.CgroupsPath, spec.Linux.Resources, cgroup.OwnerOf(spec)
	}
	g, err := cgroup.New(o)
	if err != nil {
		return nil, err
	}
	// Who removes the container kills all that is in its group.
	if pids, err := g.Pids(); err == nil && len(pids) > 0 {
		return nil, fmt.Errorf("cgroup %q is not empty: processes %v are in it", o.Path, pids)
	}
	c.Cgroup = groupState{Path: o.Path, Systemd: o.Systemd, Rootless: o.Rootless, Paths: g.Paths()}
	return g, nil
}

// created notes the process down, and writes the file that whoever called waits for.
func (c *Container) created(pid int, g *cgroup.Group, pidFile string) (err error) {
	if c.Process, err = runtime.IdentifyProcess(pid); err != nil {
		return err
	}
	c.Cgroup.Paths = g.Paths() // none, if it could be done without
	if err := c.save(); err != nil {
		return err
	}
	return writePID(pidFile, pid)
}

// writePID writes a process id so that who finds the file finds it complete.
func writePID(path string, pid int) error {
	if path == "" {
		return nil
	}
	dir := filepath.Dir(path)
	if err := renameio.WriteFile(path, []byte(strconv.Itoa(pid)), 0o644, renameio.WithTempDir(dir)); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}

func copyConfig(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

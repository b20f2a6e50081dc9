package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/cgroup"
)

// Files of a container's directory.
const (
	stateFile   = "state.json"
	configFile  = "config.json"
	startSocket = "start.sock"
	waitingFile = "waiting"
	lockFile    = "lock"
)

// StatusPaused is a status that the specification has not, and engines know.
const StatusPaused specs.ContainerState = "paused"

// What the errors of a container's operations wrap.
var (
	// ErrNotExist: there is no such container. Engines look for these very words.
	ErrNotExist = errors.New("container does not exist")
	// ErrPrivilege: the caller may mount nothing. Engines make a user namespace first.
	ErrPrivilege = errors.New("creating a container takes CAP_SYS_ADMIN, which an ordinary user has in a user namespace, as podman unshare makes one")
	// ErrExist: there is a container of this ID.
	ErrExist = errors.New("container with given ID already exists")
	// ErrStatus: the container isn't in a state in which this can be done.
	ErrStatus = errors.New("it can't be done in this state")
)

// A Container is one that was created and not yet deleted.
type Container struct {
	ID      string
	Bundle  string
	Root    string // of the bundle: an absolute path
	Process runtime.ProcessID
	Created time.Time
	Owner   uint32 // who created it
	Cgroup  groupState
	// Mounted says that the root is mounted in the host's mount namespace.
	Mounted bool

	dir string
	r   *Runtime
}

// groupState is by what a container's cgroup is found again.
type groupState struct {
	Path     string
	Systemd  bool
	Rootless bool
	Paths    map[string]string
}

func (c *Container) path(name string) string { return filepath.Join(c.dir, name) }

// save writes the state beside the old one, and replaces it.
func (c *Container) save() error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return renameio.WriteFile(c.path(stateFile), b, 0o600, renameio.WithTempDir(c.dir))
}

// Open finds a container.
func (r *Runtime) Open(id string) (*Container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	c := &Container{ID: id, dir: filepath.Join(r.Root, id), r: r}
	b, err := os.ReadFile(c.path(stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(c.dir); err == nil {
			return c, nil // its creation was killed at the very beginning
		}
		return nil, fmt.Errorf("container %q: %w", id, ErrNotExist)
	}
	if err == nil {
		err = json.Unmarshal(b, c)
	}
	if err != nil {
		return nil, fmt.Errorf("container %q: read its state: %w", id, err)
	}
	return c, nil
}

// spec is the configuration that the container was created with.
func (c *Container) spec() (*specs.Spec, error) {
	return readSpec(c.path(configFile))
}

func readSpec(path string) (*specs.Spec, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var s specs.Spec
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	return &s, nil
}

// lock is held until the file is closed, or its process ends.
func (c *Container) lock(how int) (*os.File, error) {
	f, err := os.OpenFile(c.path(lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("container %q: %w", c.ID, ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	if err := flock(f, how); err != nil {
		f.Close()
		return nil, fmt.Errorf("container %q: lock: %w", c.ID, err)
	}
	// Who deletes takes the directory away while others wait for the lock.
	var mine, there unix.Stat_t
	if unix.Fstat(int(f.Fd()), &mine) != nil || unix.Stat(c.path(lockFile), &there) != nil || mine.Ino != there.Ino {
		f.Close()
		return nil, fmt.Errorf("container %q: %w", c.ID, ErrNotExist)
	}
	return f, nil
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

// locked tells whether somebody else holds the lock of a file.
func locked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(flock(f, unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// Status finds out what the container does.
func (c *Container) Status() specs.ContainerState {
	if c.Process.PID == 0 {
		if locked(c.path(lockFile)) {
			return specs.StateCreating
		}
		return specs.StateStopped
	}
	if !c.Process.Alive() {
		return specs.StateStopped
	}
	if locked(c.path(waitingFile)) {
		return specs.StateCreated
	}
	if g, err := c.group(); err == nil && g.Frozen() {
		return StatusPaused
	}
	return specs.StateRunning
}

// group opens the container's cgroup.
func (c *Container) group() (*cgroup.Group, error) {
	return cgroup.Open(cgroup.Options{
		ID: c.ID, Path: c.Cgroup.Path, Systemd: c.Cgroup.Systemd, Rootless: c.Cgroup.Rootless,
	}, c.Cgroup.Paths)
}

// State is the container's state as the specification has it (runtime.md, "State").
func (c *Container) State() specs.State {
	s := specs.State{Version: specs.Version, ID: c.ID, Status: c.Status(), Bundle: c.Bundle}
	if s.Status != specs.StateStopped {
		s.Pid = c.Process.PID
	}
	if spec, err := c.spec(); err == nil {
		s.Annotations = spec.Annotations
	}
	return s
}

// statusError says that something can't be done in the status.
func (c *Container) statusError(what string, is specs.ContainerState) error {
	return fmt.Errorf("cannot %s container %q: it is %s: %w", what, c.ID, is, ErrStatus)
}

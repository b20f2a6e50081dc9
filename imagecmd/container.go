package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// Files of a container's directory, containers/<id>/. The driver keeps its own
// beside them (upper/ and work/, for instance). The directory itself is flocked,
// shared, by whatever of the container lives (see store.HoldContainer).
const (
	containerConfig = "config.json" // a Container, written once
	containerState  = "state.json"  // a State, replaced at each change
	containerRootfs = "rootfs"      // where the root is mounted, in the container's own mount namespace
	containerGoing  = "rootfs.gone" // what that is called once the container is being removed
)

// Sentinels of the container functions.
var (
	// ErrNoContainer is returned when no container has a name or ID.
	ErrNoContainer = errors.New("no such container")
	// ErrNameInUse is returned when a container has the name already.
	ErrNameInUse = errors.New("container name is already in use")
	// ErrNotRunning is returned when a container has no process and needs one.
	ErrNotRunning = errors.New("container is not running")
	// ErrRunning is returned when a container lives and must not.
	ErrRunning = errors.New("container is running")
)

// noContainer is Docker's sentence for a missing container.
type noContainer struct{ name string }

func (e *noContainer) Error() string        { return "No such container: " + e.name }
func (e *noContainer) Is(target error) bool { return target == ErrNoContainer }

// A Container is what is fixed about a container when it is made: the image it
// stands on, and how it was asked to run. A mount that `cfs mount` made is a
// container that no process runs in.
type Container struct {
	ID         string           `json:"id"`                   // 64 hexadecimal digits
	Name       string           `json:"name,omitempty"`       // unique in the store
	Image      string           `json:"image"`                // as the person named it
	ImageID    digest.Digest    `json:"imageID"`              // digest of the image's config
	Layers     []digest.Digest  `json:"layers"`               // diff IDs of the chain it stands on, bottom first
	Driver     string           `json:"driver,omitempty"`     // the driver asked for; empty: the first that works
	MaxSize    int64            `json:"maxSize,omitempty"`    // bound of what it may change, in bytes; 0: none
	Command    []string         `json:"command,omitempty"`    // argv of the process
	Cmd        []string         `json:"cmd,omitempty"`        // what of it the person said, in place of the image's Cmd
	Entrypoint *string          `json:"entrypoint,omitempty"` // what the person said in place of the image's
	Created    time.Time        `json:"created"`              //
	AutoRemove bool             `json:"autoRemove,omitempty"` // goes with its process or mount
	Kept       bool             `json:"kept,omitempty"`       // made to be started later: there is AutoRemove only once it has been
	CIDFile    string           `json:"cidFile,omitempty"`    // got its ID
	MountedAt  string           `json:"mountedAt,omitempty"`  // target of `cfs mount`, else empty
	ReadOnly   bool             `json:"readOnly,omitempty"`   // mounted without an upper
	Process    process          `json:"process,omitzero"`     // what it runs; the command is its argv
	Options    ContainerOptions `json:"options,omitzero"`     // how it runs
	Places     mountPlaces      `json:"places,omitzero"`      // of a step of a build: what of its change is no part of it
	Views      []view           `json:"views,omitempty"`      // of a step of a build: trees that it sees

	dir  string   `wire:"-"`
	lock *os.File `wire:"-"` // held by this process, or nil
}

// A State is what changes in a container's life.
type State struct {
	Driver   string    `json:"driver,omitempty"` // the driver in use
	Filled   bool      `json:"filled,omitempty"` // its volumes got what the image has
	Pid      int       `json:"pid,omitempty"`    // of its process 1, as its monitor sees it, while it runs
	Paused   bool      `json:"paused,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Status   int       `json:"status"`          // exit status of its process once Finished
	Error    string    `json:"error,omitempty"` // why cfs could not run it

	OOMKilled  bool `json:"oomKilled,omitempty"`  // the kernel killed something of it for want of memory
	Restarting bool `json:"restarting,omitempty"` // it has ended, and its monitor is about to start it again
	Restarts   int  `json:"restarts,omitempty"`   // how often that was, since it was started
}

// root is that of the store.
func (c *Container) root() string { return filepath.Dir(filepath.Dir(c.dir)) }

// Dir is the container's directory.
func (c *Container) Dir() string { return c.dir }

// path is that of a file in it.
func (c *Container) path(name string) string { return filepath.Join(c.dir, name) }

// ShortID is the ID as people read it.
func (c *Container) ShortID() string { return c.ID[:12] }

// Label is what a person calls the container: its name, or else its short ID.
func (c *Container) Label() string {
	if c.Name != "" {
		return c.Name
	}
	return c.ShortID()
}

// Running tells whether anything of the container lives, by its lock: the kernel
// lets go of it when the last holder dies, however it dies.
func (c *Container) Running() bool {
	f, err := tryLock(c.dir, unix.LOCK_EX)
	if err != nil {
		return errors.Is(err, ErrRunning)
	}
	f.Close()
	return false
}

// State reads the container's state; one that has none yet is zero.
func (c *Container) State() (State, error) {
	var s State
	err := readJSON(filepath.Join(c.dir, containerState), &s)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return s, err
}

// setState replaces the state. That of a container which goes with its process is not synced:
// after a crash of the machine it is removed, whatever its state says. (One that was made to be
// started later is kept until it was started, which is in its state.)
func (c *Container) setState(s State) error {
	if c.AutoRemove && !c.Kept {
		return replaceJSON(c.path(containerState), s)
	}
	return writeJSON(c.path(containerState), s)
}

// snapshot is the container as drivers see it.
func (c *Container) snapshot(base cow.Chain) cow.Snapshot {
	return cow.Snapshot{Dir: c.dir, Base: base}
}

// close gives up the lock.
func (c *Container) close() {
	if c.lock != nil {
		c.lock.Close()
		c.lock = nil
	}
}

// hold takes the container for this process alone, or fails with ErrRunning.
func (c *Container) hold() error { return c.take(unix.LOCK_EX) }

// join takes the container for this process beside others that live in it.
func (c *Container) join() error { return c.take(unix.LOCK_SH) }

func (c *Container) take(how int) error {
	err := c.takeGoing(how)
	if err == nil && c.going() {
		c.close()
		err = &noContainer{c.Label()}
	}
	return err
}

// takeGoing is take for who removes the container, which somebody may have begun.
func (c *Container) takeGoing(how int) error {
	var err error
	// Whoever asks whether a container runs holds its lock for a moment.
	for try := 0; try < 10; try++ {
		if c.lock, err = tryLock(c.dir, how); !errors.Is(err, ErrRunning) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if errors.Is(err, fs.ErrNotExist) { // it has just gone
		return &noContainer{c.Label()}
	}
	if err != nil {
		return fmt.Errorf("container %s: %w", c.ShortID(), err)
	}
	return nil
}

// going tells whether its removal has begun. Nobody reads or starts it then: a part of
// what it has changed may have gone.
func (c *Container) going() bool {
	_, err := os.Lstat(c.path(containerGoing))
	return err == nil
}

// remove deletes the container, which this process holds, and with one that was to go
// with its process its anonymous volumes. The configuration goes last: until then the
// container is there to be removed again, and for nothing else.
func (c *Container) remove(ctx context.Context, drivers []cow.Driver) error {
	// Whoever reads the change, for a commit perhaps, gets all of it, or none.
	if lock, err := c.lockReading(unix.LOCK_EX); err == nil {
		defer lock.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing container %s: %w", c.ShortID(), err)
	}
	if !c.doomed() {
		// Without it, on a full disk perhaps, all is as well unless this process is killed.
		_ = os.Rename(c.path(containerRootfs), c.path(containerGoing))
	}
	for _, d := range drivers {
		if err := d.Remove(ctx, cow.Snapshot{Dir: c.dir}); err != nil {
			return fmt.Errorf("removing container %s: %w", c.ShortID(), err)
		}
	}
	if err := c.removeGroup(); err != nil {
		return err
	}
	gone := filepath.Join(filepath.Dir(c.dir), ".gone-"+c.ID)
	if err := os.Rename(c.dir, gone); err != nil {
		return err
	}
	err := os.RemoveAll(gone)
	c.close()
	if c.AutoRemove {
		err = errors.Join(err, OpenVolumes(c.root()).removeVolumes(c.anonymous()))
	}
	return err
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// replaceJSON is writeJSON of what need not outlast a crash of the machine: a reader finds the
// old file or the new one.
func replaceJSON(path string, v any) error {
	b, err := encodeJSON(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path))
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func encodeJSON(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}

func writeJSON(path string, v any) error {
	b, err := encodeJSON(v)
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, b, 0o600, renameio.WithTempDir(filepath.Dir(path)))
}

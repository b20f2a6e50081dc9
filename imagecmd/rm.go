package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// removeStage is argv[0] of the process that removes an ordinary user's
// container: its files may belong to sub-uids, which only a user namespace
// with those uids may delete.
const removeStage = "cfs-remove"

// removeRequest names a container, or what else is to be removed in its place.
type removeRequest struct {
	Root    string   // of the store
	Name    string   // of a container
	Volumes bool     // and its anonymous volumes
	Force   bool     `json:",omitempty"` // it may be gone
	Volume  string   // one by its name
	Trees   []string `json:",omitempty"`
}

// removeTrees removes trees below the store's root, whose files may belong to sub-uids.
func removeTrees(root string, trees []string) error {
	mapping, problems := userns.Detect()
	if len(trees) == 0 || mapping.Privileged() || slices.ContainsFunc(problems, func(p userns.Problem) bool { return p.Fatal }) {
		return removeAll(trees)
	}
	payload, err := json.Marshal(removeRequest{Root: root, Trees: trees})
	if err != nil {
		return err
	}
	_, err = runStage(mapping, removeStage, payload)
	return err
}

func removeAll(trees []string) error {
	var errs []error
	for _, t := range trees {
		errs = append(errs, os.RemoveAll(t))
	}
	return errors.Join(errs...)
}

// RmOptions says how a container is removed.
type RmOptions struct {
	Force   bool // kill it first if it runs
	Volumes bool // with its anonymous volumes
}

// Rm removes a container, with its changes. It fails with ErrNoContainer or, unless it is
// forced, ErrRunning.
func Rm(ctx context.Context, root, name string, o RmOptions, log *slog.Logger) error {
	c, err := OpenContainers(root).findWithLeft(name)
	if err != nil {
		return err
	}
	req := removeRequest{Root: root, Name: c.ID, Volumes: o.Volumes, Force: o.Force}
	for deadline := time.Now().Add(endPatience); ; time.Sleep(2 * time.Millisecond) {
		err = nil
		if o.Force {
			err = c.endNow(ctx)
		}
		if err == nil {
			err = req.send(ctx, c, log)
		}
		// Who starts it at the same time may be faster, until it is killed again.
		if !o.Force || !errors.Is(err, ErrRunning) || c.MountedAt != "" || time.Now().After(deadline) {
			break
		}
	}
	if errors.Is(err, ErrRunning) && c.MountedAt == "" {
		return sentencef(err, "You cannot remove a running container %s. Stop the container before attempting removal or force remove", c.ID)
	}
	return err
}

// endNow kills what runs of the container, if anything does.
func (c *Container) endNow(ctx context.Context) error {
	err := c.stop(ctx, unix.SIGKILL, -1)
	if !errors.Is(err, ErrNotRunning) {
		return err
	}
	if c.MountedAt != "" {
		return nil
	}
	// Its monitor was killed, perhaps just now, and what it has started is ending.
	return c.waitEnd(ctx, endPatience)
}

// RemoveContainer removes a container that has ended, with its changes. It fails
// with ErrNoContainer or ErrRunning.
func RemoveContainer(ctx context.Context, root, name string, log *slog.Logger) error {
	return Rm(ctx, root, name, RmOptions{}, log)
}

// send has the container removed by a process that may.
func (r removeRequest) send(ctx context.Context, c *Container, log *slog.Logger) error {
	mapping, _ := userns.Detect()
	if mapping.Privileged() {
		return r.do(ctx, log)
	}
	if c.Running() {
		return fmt.Errorf("%w: %s", ErrRunning, c.Label())
	}
	payload, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = runStage(mapping, removeStage, payload)
	return err
}

func (r removeRequest) do(ctx context.Context, log *slog.Logger) error {
	switch {
	case r.Volume != "":
		return OpenVolumes(r.Root).remove(r.Volume)
	case len(r.Trees) > 0:
		return removeAll(r.Trees)
	}
	c, err := OpenContainers(r.Root).findWithLeft(r.Name)
	if err == nil {
		err = c.takeGoing(unix.LOCK_EX)
	}
	if r.Force && errors.Is(err, ErrNoContainer) { // it was to go with its process
		return nil
	}
	if err != nil {
		return err
	}
	defer c.close()
	c.AutoRemove = c.AutoRemove || r.Volumes
	return c.remove(ctx, Drivers(r.Root, log))
}

func removeMain(l *stage.Link, payload []byte) int {
	var req removeRequest
	err := json.Unmarshal(payload, &req)
	if err == nil {
		err = req.do(l.Context(), stageLog(false))
	}
	return stageStatus(err)
}

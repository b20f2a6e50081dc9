package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// removeStage is argv[0] of the process that removes an ordinary user's
// container: its files may belong to sub-uids, which only a user namespace
// with those uids may delete.
const removeStage = "cfs-remove"

// removeRequest names a container, or trees of files.
type removeRequest struct {
	Root, Name string
	Trees      []string `json:",omitempty"`
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

// RemoveContainer removes a container that has ended, with its changes. It fails
// with ErrNoContainer or ErrRunning.
func RemoveContainer(ctx context.Context, root, name string, log *slog.Logger) error {
	mapping, _ := userns.Detect()
	if mapping.Privileged() {
		return removeContainer(ctx, root, name, log)
	}
	c, err := OpenContainers(root).Find(name)
	if err != nil {
		return err
	}
	if c.Running() {
		return fmt.Errorf("%w: %s", ErrRunning, name)
	}
	payload, err := json.Marshal(removeRequest{Root: root, Name: c.ID})
	if err != nil {
		return err
	}
	_, err = runStage(mapping, removeStage, payload)
	return err
}

// KillAndRemove removes a container, which is killed first if it runs.
func KillAndRemove(ctx context.Context, root, name string, log *slog.Logger) error {
	c, err := OpenContainers(root).Find(name)
	if err != nil {
		return err
	}
	if err := c.stop(ctx, unix.SIGKILL, -1); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	err = RemoveContainer(ctx, root, c.ID, log)
	if errors.Is(err, ErrNoContainer) { // it was to go with its process
		return nil
	}
	return err
}

func removeContainer(ctx context.Context, root, name string, log *slog.Logger) error {
	c, err := OpenContainers(root).Find(name)
	if err != nil {
		return err
	}
	if err := c.hold(); err != nil {
		return err
	}
	defer c.close()
	return c.remove(ctx, Drivers(root, log))
}

func removeMain(l *stage.Link, payload []byte) int {
	var req removeRequest
	err := json.Unmarshal(payload, &req)
	switch {
	case err != nil:
	case len(req.Trees) > 0:
		err = removeAll(req.Trees)
	default:
		err = removeContainer(l.Context(), req.Root, req.Name, stageLog(false))
	}
	return stageStatus(err)
}

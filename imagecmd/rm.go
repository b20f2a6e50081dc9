package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// removeStage is argv[0] of the process that removes an ordinary user's
// container: its files may belong to sub-uids, which only a user namespace
// with those uids may delete.
const removeStage = "cfs-remove"

type removeRequest struct{ Root, Name string }

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
	return runStage(mapping, removeStage, payload)
}

// runStage runs a stage that only does something, and returns what it said.
func runStage(m userns.Mapping, name string, payload []byte) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := stage.Start(m, name, payload, stage.Stdio{Err: w})
	w.Close()
	if err != nil {
		return err
	}
	said, _ := io.ReadAll(r)
	status, err := p.Attend()
	if err == nil && status != 0 {
		err = errors.New(strings.TrimPrefix(strings.TrimSpace(string(said)), "cfs: "))
	}
	return err
}

// stageStatus ends a stage that only does something: it says err, if there is one.
func stageStatus(err error) int {
	if err != nil {
		printError(os.Stderr, err)
		return StatusFailed
	}
	return 0
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
	if err == nil {
		err = removeContainer(l.Context(), req.Root, req.Name, stageLog(false))
	}
	return stageStatus(err)
}

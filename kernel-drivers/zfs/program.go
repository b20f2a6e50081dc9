package zfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// What the zfs program can fail with that matters here. It has one exit status for all of
// it, so they are told by its words (lib/libzfs/libzfs_util.c, cmd/zfs/zfs_main.c).
var (
	errNone   = errors.New("there is no such dataset")
	errCloned = errors.New("it has clones")
)

var meanings = []struct {
	words string
	err   error
}{
	{"does not exist", errNone},
	{"has dependent clones", errCloned},
	{"dataset is busy", unix.EBUSY},
	{"umount failed", unix.EBUSY}, // before it destroys a dataset it unmounts what this process can see of it
	{"out of space", unix.ENOSPC},
}

// run calls the zfs program and returns what it prints. The error wraps one of meanings.
func run(ctx context.Context, args ...string) (string, error) {
	program, err := sys.Program("zfs")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		said := strings.Join(strings.Fields(stderr.String()), " ")
		for _, m := range meanings {
			if strings.Contains(said, m.words) {
				return "", fmt.Errorf("zfs %s: %w (%s)", args[0], m.err, said)
			}
		}
		return "", fmt.Errorf("zfs %s: %w: %s", args[0], err, said)
	}
	return stdout.String(), nil
}

// get is a property of a dataset, "-" if it has none of that name.
func get(ctx context.Context, property, dataset string) (string, error) {
	out, err := run(ctx, "get", "-H", "-o", "value", property, dataset)
	return strings.TrimSpace(out), err
}

// exists tells whether there is a dataset.
func exists(ctx context.Context, dataset string) (bool, error) {
	_, err := run(ctx, "list", "-H", "-o", "name", dataset)
	if errors.Is(err, errNone) {
		return false, nil
	}
	return err == nil, err
}

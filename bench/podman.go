package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A Podman is podman with a storage of its own.
type Podman struct {
	Dir    string // holds storage and state; made when needed
	Run    string // holds the state instead; may be empty
	Driver string // of its storage; empty: overlay
}

// Args are the command line of one of its commands.
func (p Podman) Args(command ...string) []string {
	driver := p.Driver
	if driver == "" {
		driver = "overlay"
	}
	run := p.Run
	if run == "" {
		run = filepath.Join(p.Dir, "run")
	}
	return append([]string{"--root", filepath.Join(p.Dir, "root"), "--runroot", run, "--storage-driver", driver, "--cgroup-manager", "cgroupfs"}, command...)
}

// Timed runs one of its commands.
func (p Podman) Timed(ctx context.Context, command ...string) (time.Duration, error) {
	return Timed(ctx, "podman", p.Args(command...)...)
}

// Remove takes the storage away, and the mount that podman leaves on it.
func (p Podman) Remove() error {
	err := unix.Unmount(filepath.Join(p.Dir, "root", "overlay"), 0)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return err // and remove nothing below it
	}
	return errors.Join(os.RemoveAll(p.Dir), os.RemoveAll(p.Run))
}

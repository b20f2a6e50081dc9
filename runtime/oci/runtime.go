package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cfs-project/cfs/runtime/userns"
)

// A Runtime is where containers are kept, and how they are made.
type Runtime struct {
	// Root is the directory of the containers' directories. It is made when it is needed.
	Root string
	// Systemd has cgroups made by systemd.
	Systemd bool
	// NoCgroups makes none: containers are in the group of the caller, without limits.
	NoCgroups bool
	// Rootless says that the caller's root is not the host's: nil finds out.
	Rootless *bool
	// Warn, if not nil, is told what didn't work out and is no failure.
	Warn func(text string)
}

func (r *Runtime) warn(format string, a ...any) {
	if r.Warn != nil {
		r.Warn(fmt.Sprintf(format, a...))
	}
}

// DefaultRoot is where containers are kept if nothing is said: below /run for root, below
// XDG_RUNTIME_DIR for others (XDG base directory specification).
func DefaultRoot() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && rootless() {
		return filepath.Join(dir, "cfs-runtime")
	}
	return "/run/cfs-runtime"
}

// rootless tells whether the caller is not the host's root.
func rootless() bool {
	if os.Geteuid() != 0 {
		return true
	}
	m, err := userns.Current()
	return err == nil && !m.Privileged()
}

func (r *Runtime) rootless() bool {
	if r.Rootless != nil {
		return *r.Rootless
	}
	return rootless()
}

// maxID is the length of a file's name.
const maxID = 255

// ErrID: it can't be the name of a container.
var ErrID = errors.New("invalid container ID")

func checkID(id string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-."
	if id == "" || id == "." || id == ".." || len(id) > maxID || strings.Trim(id, allowed) != "" {
		return fmt.Errorf("%w: %q (letters, digits, _ + - and .)", ErrID, id)
	}
	return nil
}

// List finds all containers, by their IDs.
func (r *Runtime) List() ([]*Container, error) {
	entries, err := os.ReadDir(r.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []*Container
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		c, err := r.Open(e.Name())
		if errors.Is(err, ErrNotExist) || errors.Is(err, ErrID) {
			continue // deleted meanwhile, or nothing of ours
		}
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

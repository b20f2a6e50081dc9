package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// A Record is by what a group is found again, by another process, kept as JSON.
type Record struct {
	ID       string            `json:"id"`
	Path     string            `json:"path,omitempty"`
	Systemd  bool              `json:"systemd,omitempty"`
	Rootless bool              `json:"rootless,omitempty"`
	Paths    map[string]string `json:"paths"`
}

// Record is what is to be kept of a group that was prepared with these options.
func (o Options) Record(g *Group) Record {
	return Record{ID: o.ID, Path: o.Path, Systemd: o.Systemd, Rootless: o.Rootless, Paths: g.Paths()}
}

// Open finds the group.
func (r Record) Open() (*Group, error) {
	return Open(Options{ID: r.ID, Path: r.Path, Systemd: r.Systemd, Rootless: r.Rootless}, r.Paths)
}

// Release takes a process out of the group again, to where the caller is: what it starts
// there is not in the group, what it has started stays. Who has the unified hierarchy
// delegated mostly may not.
func (g *Group) Release(pid int) error {
	own, err := cgroups.ParseCgroupFile("/proc/self/cgroup")
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	for controller := range g.Paths() {
		dir := filepath.Join(unified, own[""])
		if !cgroups.IsCgroup2UnifiedMode() {
			if dir, err = cgroups.GetOwnCgroupPath(controller); controller == "" {
				continue // the second hierarchy of a hybrid limits nothing
			}
		}
		if err == nil {
			err = cgroups.WriteCgroupProc(dir, pid)
		}
		if err != nil {
			return fmt.Errorf("cgroup: %w", err)
		}
	}
	return nil
}

// End kills all that is left in the group and removes it, within limit. A group that is
// gone is no error.
func (g *Group) End(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		pids, err := g.Pids()
		if errors.Is(err, ErrNone) || errors.Is(err, fs.ErrNotExist) || err == nil && len(pids) == 0 {
			return g.Destroy()
		}
		if err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cgroup: processes %v don't end", pids)
		}
		for _, pid := range pids {
			if pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL) // one that is gone is what is wanted
			}
		}
		time.Sleep(pause)
	}
}

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// delegateList is the kernel's list of the files that go to who is to manage a group (cgroups(7)).
const delegateList = "/sys/kernel/cgroup/delegate"

// OwnerOf is the user of the host to whom a container's group is to be given, or nil: its
// own user, where it has a cgroup namespace of its own and the groups mounted to write to
// (runtime-spec, config-linux.md, "Cgroup ownership").
func OwnerOf(s *specs.Spec) *int {
	if s.Linux == nil || s.Process == nil || !ownsView(s.Linux) || !writesGroups(s.Mounts) {
		return nil
	}
	uid := s.Process.User.UID
	if len(s.Linux.UIDMappings) > 0 {
		for _, m := range s.Linux.UIDMappings {
			if uid >= m.ContainerID && uid-m.ContainerID < m.Size {
				host := int(m.HostID + uid - m.ContainerID)
				return &host
			}
		}
		return nil
	}
	for _, n := range s.Linux.Namespaces {
		if n.Type == specs.UserNamespace {
			return nil // of a path: whom it maps to is not said
		}
	}
	host := int(uid)
	return &host
}

func ownsView(l *specs.Linux) bool {
	for _, n := range l.Namespaces {
		if n.Type == specs.CgroupNamespace && n.Path == "" {
			return true
		}
	}
	return false
}

func writesGroups(mounts []specs.Mount) bool {
	for _, m := range mounts {
		if m.Source != "cgroup" || filepath.Clean(m.Destination) != "/sys/fs/cgroup" {
			continue
		}
		for _, o := range m.Options {
			if o == "ro" || o == "rro" {
				return false
			}
		}
		return true
	}
	return false
}

// delegate gives a group of the unified hierarchy to a user: the directory and the files by
// which groups below it are made, and not those by which it is limited itself.
func delegate(dir string, uid int) error {
	names := []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
	if b, err := os.ReadFile(delegateList); err == nil {
		names = strings.Fields(string(b))
	}
	if err := os.Chown(dir, uid, -1); err != nil {
		return fmt.Errorf("give away: %w", err)
	}
	for _, n := range names {
		if err := os.Chown(filepath.Join(dir, n), uid, -1); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("give away: %w", err)
		}
	}
	return nil
}

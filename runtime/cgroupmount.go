package runtime

import (
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// A cgroupTree is a container's directory of one hierarchy, as it is mounted in it.
type cgroupTree struct {
	Name  string   // of the directory below the target; "" for the target itself
	Links []string // names for it, of controllers that share the hierarchy
	Tree  int      // index among the descriptors
}

func isCgroup(typ string) bool { return typ == "cgroup" || typ == "cgroup2" }

// planCgroups opens, for mounts of type cgroup and cgroup2, the directories of the groups that
// init is in. Nothing above them is seen in the container, with and without a cgroup
// namespace.
func (s *setup) planCgroups(pid int) error {
	for n := range s.config.Mounts {
		m := &s.config.Mounts[n]
		if !isCgroup(m.Type) || m.Tree >= 0 {
			continue
		}
		hierarchies, err := cgroupHierarchies(pid)
		if err != nil {
			return fmt.Errorf("mount cgroups at %s: %w", m.Target, err)
		}
		one := -1 // the unified hierarchy, if it is the one to show
		for i, h := range hierarchies {
			if h.unified && (m.Type == "cgroup2" || len(hierarchies) == 1) {
				one = i
			}
		}
		if one < 0 && m.Type == "cgroup2" {
			return fmt.Errorf("mount cgroups at %s: the host has no unified hierarchy", m.Target)
		}
		for i, h := range hierarchies {
			if one >= 0 && i != one {
				continue
			}
			fd, _, err := cloneTree(h.dir, false)
			if err != nil {
				return fmt.Errorf("mount cgroups at %s: %s: %w", m.Target, h.dir, err)
			}
			t := cgroupTree{Name: h.name, Links: h.links, Tree: s.sendFD(fd)}
			if one >= 0 {
				t.Name, t.Links = "", nil
			}
			private := mountOptions{Propagation: unix.MS_PRIVATE, Set: m.Options.Set | m.Options.RecSet, Clear: m.Options.Clear | m.Options.RecClear}
			if err := private.setAttrs(fd); err != nil {
				return fmt.Errorf("mount cgroups at %s: %w", m.Target, err)
			}
			m.Cgroups = append(m.Cgroups, t)
		}
	}
	return nil
}

// A hierarchy is a mounted tree of cgroups, and the directory of a process in it.
type hierarchy struct {
	name    string // of the mount point
	links   []string
	dir     string
	unified bool
}

// cgroupHierarchies are those mounted here (cgroups(7)).
func cgroupHierarchies(pid int) ([]hierarchy, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(procDir(pid) + "cgroup")
	if err != nil {
		return nil, err
	}
	groups := map[string]string{} // by controller; "" is the unified hierarchy
	for line := range strings.Lines(string(b)) {
		// hierarchy-ID:controllers:path; named ones are "name=x".
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		for _, c := range strings.Split(f[1], ",") {
			groups[c] = f[2]
		}
	}
	var hs []hierarchy
	seen := map[string]bool{}
	for _, m := range mounts {
		h := hierarchy{name: path.Base(m.Mountpoint), unified: m.FSType == "cgroup2"}
		key := ""
		if !h.unified {
			for _, o := range strings.Split(m.VFSOptions, ",") {
				if _, ok := groups[o]; ok && o != "" {
					key = o
					if o != h.name && !strings.HasPrefix(o, "name=") {
						h.links = append(h.links, o)
					}
				}
			}
			if key == "" {
				continue
			}
		}
		group, ok := groups[key]
		if !ok || seen[key] || strings.HasPrefix(group, "/..") {
			continue
		}
		// What is mounted may be a part of the tree.
		rel := group
		if m.Root != "/" {
			below, ok := strings.CutPrefix(group+"/", m.Root+"/")
			if !ok {
				continue
			}
			rel = below
		}
		seen[key] = true
		h.dir = path.Join(m.Mountpoint, rel)
		hs = append(hs, h)
	}
	if len(hs) == 0 {
		return nil, fmt.Errorf("no cgroup hierarchy is mounted")
	}
	return hs, nil
}

// mountCgroups mounts the trees at target, in init: the only one as it is, several each on
// a directory of a small tmpfs.
func (m mountConfig) mountCgroups(target int, fds []int) error {
	if len(m.Cgroups) == 1 && m.Cgroups[0].Name == "" {
		return attach(fds[m.Cgroups[0].Tree], target)
	}
	mnt, err := makeMount("tmpfs", "cgroup", mountOptions{
		Set:  unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
		Data: []string{"mode=755"},
	})
	if err != nil {
		return err
	}
	defer unix.Close(mnt)
	// Attached first: a detached mount takes no mounts below it on older kernels.
	if err := attach(mnt, target); err != nil {
		return err
	}
	for _, c := range m.Cgroups {
		dir, err := mkdirOpen(mnt, c.Name)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		err = attach(fds[c.Tree], dir)
		unix.Close(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		for _, l := range c.Links {
			if err := unix.Symlinkat(c.Name, mnt, l); err != nil && err != unix.EEXIST {
				return fmt.Errorf("%s: %w", l, err)
			}
		}
	}
	if m.Options.Set&unix.MOUNT_ATTR_RDONLY != 0 {
		return mountOptions{Set: unix.MOUNT_ATTR_RDONLY}.setAttrs(mnt)
	}
	return nil
}

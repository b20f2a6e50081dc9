package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // lets the library restrict devices
	"github.com/opencontainers/cgroups/manager"
	"github.com/opencontainers/cgroups/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/hint"
)

// Options is where a group is made.
type Options struct {
	// ID names the group where Path doesn't.
	ID string
	// Path is linux.cgroupsPath: a path below the hierarchies' mount points, or
	// "slice:prefix:name" with Systemd. Empty: below the caller's own group.
	Path    string
	Systemd bool
	// Rootless says that the caller's root is not the host's: groups that can't be made are
	// done without, if nothing is to be limited.
	Rootless bool
	// Resources are linux.resources; may be nil.
	Resources *specs.LinuxResources
	// Devices restricts the use of devices to those that Resources allow.
	Devices bool
	// Owner, if not nil, is the user to whom the group is given, in the unified hierarchy
	// alone: in others that isn't safe. See [OwnerOf].
	Owner *int
	// Needed says that there must be a group, whatever Resources ask for.
	Needed bool
}

// A Group is a container's control group.
type Group struct {
	m        cgroups.Manager    // nil: there is none
	r        *cgroups.Resources // what [Group.Apply] sets
	rootless bool
	limits   bool // Resources ask for something
	needed   bool // it can't be done without
	owner    *int
}

// New prepares a group, which is made by [Group.Apply].
func New(o Options) (*Group, error) {
	r, limits, err := resources(o.Resources, o.Devices)
	if err != nil {
		return nil, err
	}
	c := &cgroups.Cgroup{Resources: r, Systemd: o.Systemd, Rootless: o.Rootless, OwnerUID: o.Owner}
	if err := place(c, o); err != nil {
		return nil, err
	}
	if !o.Systemd && c.Name == "" && c.Path == "/" {
		// Whoever removes the group kills all that is in it.
		return nil, fmt.Errorf("cgroup: path %q is the root, which no container can have for itself", o.Path)
	}
	if o.Systemd && !systemd.IsRunningSystemd() {
		return nil, hint.With(errors.New("cgroup: systemd not running on this host, cannot use systemd cgroups manager"),
			"without systemd groups are made as files: leave --systemd-cgroup out, or tell the engine to use cgroupfs")
	}
	m, err := manager.New(c)
	if err != nil {
		if o.Rootless && !limits && !o.Needed && !o.Systemd {
			return &Group{rootless: true}, nil // no hierarchy is mounted
		}
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	if paths := m.GetPaths(); r.SkipDevices && paths["devices"] != "" {
		// The library doesn't make that group, but would put processes into it later.
		delete(paths, "devices")
		if m, err = manager.NewWithPaths(c, paths); err != nil {
			return nil, fmt.Errorf("cgroup: %w", err)
		}
	}
	return &Group{m: m, r: r, rootless: o.Rootless, limits: limits, needed: o.Needed, owner: o.Owner}, nil
}

// place says where the group is to be.
func place(c *cgroups.Cgroup, o Options) error {
	switch {
	case o.Systemd:
		parts := []string{"", "cfs", o.ID}
		if o.Path != "" {
			if parts = strings.Split(o.Path, ":"); len(parts) != 3 {
				return fmt.Errorf("cgroup: path %q is not SLICE:PREFIX:NAME, as systemd has it", o.Path)
			}
		}
		c.Parent, c.ScopePrefix, c.Name = parts[0], parts[1], parts[2]
	case o.Path == "":
		c.Name = "cfs-" + o.ID
		if own := ownGroup(); own != "" {
			c.Path, c.Name = path.Join(own, c.Name), ""
		}
	default:
		c.Path = path.Clean("/" + o.Path) // below the mount point, whatever it says
	}
	return nil
}

// ownGroup is the caller's group in the unified hierarchy; empty where that isn't the only one.
func ownGroup() string {
	if !cgroups.IsCgroup2UnifiedMode() {
		return ""
	}
	groups, err := cgroups.ParseCgroupFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	own := groups[""]
	// Processes and controllers can't be in one group, but for the root (cgroup-v2.rst,
	// "No Internal Process Constraint"): the container's is made beside the caller's.
	if own != "/" {
		own = path.Dir(own)
	}
	return own
}

// Apply makes the group, puts a process into it, and sets its limits. If it fails there may
// be something for [Group.Destroy] to remove, once the process has ended.
func (g *Group) Apply(pid int) error {
	if g.m == nil {
		return nil
	}
	err := g.m.Apply(pid)
	if err == nil {
		err = g.setAll()
	}
	if dir := g.m.Path(""); err == nil && g.owner != nil && cgroups.IsCgroup2UnifiedMode() {
		err = delegate(dir, *g.owner)
	}
	if err == nil {
		return nil
	}
	if g.rootless && !g.limits && !g.needed && refused(err) {
		g.m = nil
		return nil
	}
	return fmt.Errorf("cgroup: %w", err)
}

// setAll sets what the group was made with.
func (g *Group) setAll() error {
	if g.r.SkipDevices || cgroups.IsCgroup2UnifiedMode() {
		return g.m.Set(g.r)
	}
	g.r.SkipDevices = true
	if err := g.m.Set(g.r); err != nil {
		return err
	}
	return g.setDevices()
}

func refused(err error) bool {
	return errors.Is(err, cgroups.ErrRootless) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrNotExist)
}

// None tells that there is no group: it could not be made, and nobody needs it.
func (g *Group) None() bool { return g.m == nil }

// Add puts one more process into the group.
func (g *Group) Add(pid int) error {
	if g.m == nil {
		return nil
	}
	if err := g.m.AddPid("", pid); err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	return nil
}

// ErrNone is returned by what a group is needed for where there is none.
var ErrNone = errors.New("the container has no cgroup of its own")

// Set changes the limits.
func (g *Group) Set(r *specs.LinuxResources) error {
	if g.m == nil {
		return ErrNone
	}
	res, _, err := resources(r, false)
	if err != nil {
		return err
	}
	res.SkipDevices = true
	if err := g.m.Set(res); err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	return nil
}

// Freeze stops every process of the group, or lets them go on.
func (g *Group) Freeze(stop bool) error {
	if g.m == nil {
		return ErrNone
	}
	state := cgroups.Thawed
	if stop {
		state = cgroups.Frozen
	}
	if err := g.m.Freeze(state); err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	return nil
}

// Frozen tells whether the processes of the group are stopped by Freeze.
func (g *Group) Frozen() bool {
	if g.m == nil {
		return false
	}
	state, err := g.m.GetFreezerState()
	return err == nil && state == cgroups.Frozen
}

// Stats is what the group uses.
func (g *Group) Stats() (*cgroups.Stats, error) {
	if g.m == nil {
		return nil, ErrNone
	}
	s, err := g.m.GetStats()
	if err != nil {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	return s, nil
}

// Pids are the processes in the group and those below it; none if it is gone.
func (g *Group) Pids() ([]int, error) {
	if g.m == nil {
		return nil, ErrNone
	}
	// Not the library's: it looks at the hierarchy of devices, where a group needn't be.
	paths := g.m.GetPaths()
	dir := ""
	for _, c := range slices.Sorted(maps.Keys(paths)) {
		if dir = paths[c]; c != "" {
			break // of a controller; all have the same processes
		}
	}
	for {
		p, err := cgroups.GetAllPids(dir)
		if !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return nil, fmt.Errorf("cgroup: %w", err)
			}
			return p, nil
		}
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, nil // systemd removes a scope with its last process
		}
		// One below it was removed meanwhile.
	}
}

// Paths are the directories of the group by controller, by which [Open] finds it again.
func (g *Group) Paths() map[string]string {
	if g.m == nil {
		return nil
	}
	return g.m.GetPaths()
}

// Open finds a group that was made before, by its paths.
func Open(o Options, paths map[string]string) (*Group, error) {
	if len(paths) == 0 {
		return &Group{}, nil
	}
	c := &cgroups.Cgroup{Resources: &cgroups.Resources{}, Systemd: o.Systemd, Rootless: o.Rootless}
	if err := place(c, o); err != nil {
		return nil, err
	}
	m, err := manager.NewWithPaths(c, paths)
	if err != nil {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	return &Group{m: m, rootless: o.Rootless}, nil
}

// Destroy removes the group, whose processes have ended. Removing it twice is no error.
func (g *Group) Destroy() error {
	if g.m == nil {
		return nil
	}
	if err := g.m.Destroy(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cgroup: %w", err)
	}
	return nil
}

// OOMKilled tells whether the kernel killed something of the group for want of memory.
func (g *Group) OOMKilled() bool {
	if g.m == nil {
		return false
	}
	n, err := g.m.OOMKillCount()
	return err == nil && n > 0
}

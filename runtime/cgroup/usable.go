package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ErrUnusable is wrapped by the errors of [Options.Usable].
var ErrUnusable = errors.New("no control group can be made")

// unified is where the unified hierarchy is mounted if it is the only one.
const unified = "/sys/fs/cgroup"

// Default is where a container's group is made if nobody says otherwise: by systemd
// where that runs and has the unified hierarchy to itself, or else by files, below or beside
// the caller's own group. parent, if not empty, is the group or the slice to make it in.
func Default(id, parent string, rootless bool) (Options, error) {
	o := Options{ID: id, Rootless: rootless}
	o.Systemd = cgroups.IsCgroup2UnifiedMode() && systemd.IsRunningSystemd()
	switch {
	case parent == "":
	case !o.Systemd:
		o.Path = path.Join("/", parent, id)
	case !strings.HasSuffix(parent, ".slice") || strings.Contains(parent, "/"):
		return o, errors.New(`cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"`)
	default:
		o.Path = parent + ":cfs:" + id
	}
	return o, nil
}

// Usable tells why no group can be made for what o asks, as far as that is seen without
// making one; nil if nothing speaks against it. The error wraps [ErrUnusable].
func (o Options) Usable() (err error) {
	need := controllers(o.Resources)
	if o.Devices {
		need = append(need, "devices")
	}
	switch {
	case !cgroups.IsCgroup2UnifiedMode():
		err = o.usableLegacy(need)
	case o.Rootless && o.Devices:
		err = errors.New("the use of devices can be restricted by root only")
	case o.Systemd:
		err = o.usableSystemd(need)
	default:
		var c cgroups.Cgroup
		if err = place(&c, o); err == nil {
			err = usableUnified(filepath.Join(unified, path.Dir(c.Path)), need)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return nil
}

// controllers are those of cgroup v1 that resources need.
func controllers(r *specs.LinuxResources) (need []string) {
	if r == nil {
		return nil
	}
	if r.Memory != nil {
		need = append(need, "memory")
	}
	if c := r.CPU; c != nil {
		if c.Cpus != "" || c.Mems != "" {
			need = append(need, "cpuset")
		}
		if c.Shares != nil || c.Quota != nil || c.Period != nil {
			need = append(need, "cpu")
		}
	}
	if r.Pids != nil {
		need = append(need, "pids")
	}
	if r.BlockIO != nil {
		need = append(need, "blkio")
	}
	return need
}

// usableLegacy looks at a hierarchy a controller.
func (o Options) usableLegacy(need []string) error {
	for _, c := range need {
		dir, err := cgroups.GetOwnCgroupPath(c)
		if err == nil && o.Path != "" {
			dir, err = cgroups.FindCgroupMountpoint("", c)
			dir = filepath.Join(dir, path.Dir(path.Clean("/"+o.Path)))
		}
		if err != nil {
			return fmt.Errorf("the controller %s is not mounted", c)
		}
		if err := writable(dir); err != nil {
			return err
		}
	}
	return o.usableFiles()
}

// usableFiles looks for what not every kernel has.
func (o Options) usableFiles() error {
	has := func(controller string, files ...string) bool {
		dir, err := cgroups.FindCgroupMountpoint("", controller)
		return err != nil || slices.ContainsFunc(files, func(f string) bool {
			_, err := os.Stat(filepath.Join(dir, f))
			return err == nil
		})
	}
	r := o.Resources
	switch {
	case r == nil:
	case r.Memory != nil && r.Memory.Swap != nil && !has("memory", "memory.memsw.limit_in_bytes"):
		return errors.New("the kernel does not count swap (swapaccount=1)")
	case r.BlockIO != nil && (r.BlockIO.Weight != nil || len(r.BlockIO.WeightDevice) > 0) && !has("blkio", "blkio.weight", "blkio.bfq.weight"):
		return errors.New("the kernel has no weights of block I/O")
	}
	return nil
}

// SwapCounted tells whether a limit of memory and swap together can be set.
func SwapCounted() bool {
	if !cgroups.IsCgroup2UnifiedMode() {
		swap := int64(1)
		return Options{Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: &swap}}}.usableFiles() == nil
	}
	own := ownGroup()
	_, err := os.Stat(filepath.Join(unified, own, "memory.swap.max"))
	return err == nil || own == "/" // the root has no such file, and those below it most likely
}

// Unified tells whether the unified hierarchy is the only one here (cgroup v2).
func Unified() bool { return cgroups.IsCgroup2UnifiedMode() }

// usableUnified looks at the directory in which the group will be made.
func usableUnified(dir string, need []string) error {
	dir = existing(dir)
	if err := writable(dir); err != nil {
		return err
	}
	return hasControllers(dir, need)
}

func hasControllers(dir string, need []string) error {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	have := strings.Fields(string(b))
	for _, c := range need {
		switch c {
		case "devices": // by a program, not a controller
			continue
		case "blkio":
			c = "io"
		}
		if !slices.Contains(have, c) {
			return fmt.Errorf("the controller %s is not delegated to %s", c, dir)
		}
	}
	return nil
}

// usableSystemd looks whether the caller's systemd can be asked, and what it may give.
func (o Options) usableSystemd(need []string) error {
	if !o.Rootless {
		return hasControllers(unified, need)
	}
	if _, err := systemd.DetectUserDbusSessionBusAddress(); err != nil {
		return errors.New("systemd of the user can't be reached: there is no session bus")
	}
	uid := os.Getuid()
	manager := fmt.Sprintf("%s/user.slice/user-%d.slice/user@%d.service", unified, uid, uid)
	if _, err := os.Stat(manager); err != nil { // in a namespace its number is another
		return nil
	}
	return hasControllers(manager, need)
}

// existing is the directory, or the nearest above that is there.
func existing(dir string) string {
	for dir != "/" {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

func writable(dir string) error {
	dir = existing(dir)
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}

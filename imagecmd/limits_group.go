package imagecmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/runtime/cgroup"
	"github.com/cfs-project/cfs/runtime/userns"
)

// containerCgroup is the file by which a container's control group is found, in its
// directory. It is there before the group is, and until after.
const containerCgroup = "cgroup.json"

// groupLimit is how long what is left in a control group may take to end.
const groupLimit = 10 * time.Second

// rootless tells whether this process's root isn't the host's: control groups are then what
// the host delegates.
func rootless() bool {
	here, err := userns.Current()
	mine, _ := userns.Detect()
	return err != nil || !here.Privileged() || !mine.Privileged()
}

// group is what a container needs a control group for.
type group struct {
	options cgroup.Options
	needed  bool // else it is none
}

// group plans the container's control group. Who asks for nothing that takes one has none:
// it would cost every start time, and an ordinary user mostly can't have one.
func (c *Container) group() (g group, err error) {
	o := c.Options
	if g.options, err = cgroup.Default(c.ID, o.CgroupParent, rootless()); err != nil {
		return g, err
	}
	g.options.Needed = true
	if !o.Limits.none() {
		g.options.Resources = o.Limits.resources()
	}
	g.needed = g.options.Resources != nil || o.CgroupParent != ""
	must := o.restrictsDevices()
	switch {
	case must:
		g.options.Devices = true
	case !o.Privileged && !g.options.Rootless && (g.needed || o.reachesDevices()):
		// As far as it can be: nobody asked for it.
		g.options.Devices = cgroup.Options{Devices: true}.Usable() == nil
	}
	g.needed = g.needed || g.options.Devices
	if g.options.Devices {
		if g.options.Resources == nil {
			g.options.Resources = &specs.LinuxResources{}
		}
		g.options.Resources.Devices, err = o.deviceRules()
	}
	return g, err
}

// usable refuses what is asked for where it can't be done.
func (g group) usable() error {
	if !g.needed {
		return nil
	}
	r := g.options.Resources
	if cgroup.Unified() && r != nil && r.Memory != nil && (r.Memory.DisableOOMKiller != nil || r.Memory.Swappiness != nil) {
		return errors.New("the kernel has neither --oom-kill-disable nor --memory-swappiness with cgroup v2")
	}
	if err := g.options.Usable(); err != nil {
		return g.explain(err)
	}
	return nil
}

// explain adds what a person can do to the error of a group that can't be had.
func (g group) explain(err error) error {
	err = fmt.Errorf("the container's limits can't be set: %w", err)
	switch {
	case !g.options.Rootless:
		return err
	case g.options.Devices && len(g.options.Resources.Devices) > 0:
		return hint.With(err, "leave out what restricts the use of devices, or run as root")
	case !cgroup.Unified():
		return hint.With(err, "cgroup v1 lets root limit only: run as root, or boot with systemd.unified_cgroup_hierarchy=1, or leave the limits out")
	default:
		return hint.With(err, "have controllers delegated, as root: mkdir -p /etc/systemd/system/user@.service.d && "+
			`printf '[Service]\nDelegate=cpu cpuset io memory pids\n' >/etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload; then log in anew`)
	}
}

// restrictsDevices tells whether the use of a device is restricted by what was asked for.
func (o ContainerOptions) restrictsDevices() bool {
	return !o.Privileged && (len(o.DeviceRules) > 0 || slices.ContainsFunc(o.Devices, func(d DeviceOption) bool { return d.restricted() }))
}

// reachesDevices tells whether the container could get at devices of the host that it was
// not given: it has them mounted, or may mount or make any. (Others' profile keeps them from
// making nodes: see confineNodes.)
func (o ContainerOptions) reachesDevices() bool {
	for _, m := range o.Mounts {
		if m.Type == "bind" && (m.Source == "/" || m.Source == "/dev" || strings.HasPrefix(m.Source, "/dev/")) {
			return true
		}
	}
	strong := func(c string) bool {
		c = strings.ToUpper(strings.TrimPrefix(strings.ToUpper(c), "CAP_"))
		return c == "ALL" || c == "SYS_ADMIN"
	}
	return o.Seccomp != "" || slices.ContainsFunc(o.CapAdd, strong)
}

// deviceRules are those of the devices that the container was given.
func (o ContainerOptions) deviceRules() (rules []specs.LinuxDeviceCgroup, err error) {
	for _, d := range o.Devices {
		devices, err := d.devices()
		if err != nil {
			return nil, err
		}
		for _, one := range devices {
			rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: one.Type, Major: &one.Major, Minor: &one.Minor, Access: d.access()})
		}
	}
	for _, s := range o.DeviceRules {
		var major, minor, access string
		r := specs.LinuxDeviceCgroup{Allow: true}
		if _, err := fmt.Sscan(strings.Replace(s, ":", " ", 1), &r.Type, &major, &minor, &access); err != nil {
			return nil, fmt.Errorf("invalid device cgroup format '%s'", s)
		}
		r.Access = access
		for _, n := range []struct {
			text string
			to   **int64
		}{{major, &r.Major}, {minor, &r.Minor}} {
			if n.text == "*" {
				continue
			}
			number := new(int64)
			if _, err := fmt.Sscan(n.text, number); err != nil {
				return nil, fmt.Errorf("invalid device cgroup format '%s'", s)
			}
			*n.to = number
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// checkGroup refuses limits that can't be set here, before there is a container.
func (c *Container) checkGroup() error {
	g, err := c.group()
	if err != nil {
		return err
	}
	return g.usable()
}

// prepareGroup prepares a control group, which is noted down before it is made.
func (c *Container) prepareGroup(plan group) (*cgroup.Group, func(pid int) error, error) {
	if err := c.removeGroup(); err != nil { // what a killed monitor left
		return nil, nil, err
	}
	g, err := cgroup.New(plan.options)
	if err != nil {
		return nil, nil, plan.explain(err)
	}
	if err := writeJSON(c.path(containerCgroup), plan.options.Record(g)); err != nil {
		return nil, nil, err
	}
	return g, func(pid int) error {
		if err := g.Apply(pid); err != nil {
			return plan.explain(err)
		}
		return nil
	}, nil
}

// sweepGroup removes the control group that a killed monitor has left.
func (c *Container) sweepGroup() error {
	if _, err := os.Stat(c.path(containerCgroup)); err != nil {
		return nil
	}
	lock, err := tryLock(c.dir, unix.LOCK_EX)
	if err != nil {
		return nil // it lives, or goes
	}
	defer lock.Close()
	return c.removeGroup()
}

// removeGroup removes the control group of a container that has ended, if it has one,
// with what is left in it.
func (c *Container) removeGroup() error {
	var r cgroup.Record
	err := readJSON(c.path(containerCgroup), &r)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var g *cgroup.Group
	if err == nil {
		g, err = r.Open()
	}
	if err == nil {
		err = g.End(groupLimit)
	}
	if err != nil {
		return fmt.Errorf("container %s: %w", c.ShortID(), err)
	}
	return os.Remove(c.path(containerCgroup))
}

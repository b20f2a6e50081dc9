package imagecmd

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime"
)

// shape changes a configuration as a person has asked for.
func (o ShapeOptions) shape(s *specs.Spec) error {
	s.Root.Readonly = o.ReadOnly
	if o.Domainname != "" {
		s.Domainname = o.Domainname
	}
	s.Process.OOMScoreAdj = o.OOMScoreAdj
	for k, v := range o.Sysctls {
		if s.Linux.Sysctl == nil {
			s.Linux.Sysctl = map[string]string{}
		}
		s.Linux.Sysctl[k] = v
	}
	if o.ShmSize > 0 {
		setMountOption(s.Mounts, "/dev/shm", "size=", fmt.Sprintf("size=%d", o.ShmSize))
	}
	for _, m := range outermostFirst(o.Mounts) {
		mounted, err := m.mount()
		if err != nil {
			return err
		}
		// One that is asked for takes the place of Docker's.
		s.Mounts = slices.DeleteFunc(s.Mounts, func(old specs.Mount) bool { return old.Destination == mounted.Destination })
		s.Mounts = append(s.Mounts, mounted)
	}
	for _, u := range o.Ulimits {
		l, err := parseUlimit(u)
		if err != nil {
			return err
		}
		s.Process.Rlimits = append(s.Process.Rlimits, l)
	}
	for _, d := range o.Devices {
		devices, err := d.devices()
		if err != nil {
			return err
		}
		s.Linux.Devices = append(s.Linux.Devices, devices...)
	}
	return o.capabilities(s)
}

// capabilities gives the process those that are asked for.
func (o ShapeOptions) capabilities(s *specs.Spec) error {
	if o.Privileged {
		return privileged(s)
	}
	caps, err := runtime.Capabilities(o.CapAdd, o.CapDrop)
	if err != nil {
		return err
	}
	c := s.Process.Capabilities
	root := c.Effective != nil
	c.Bounding = caps
	if root {
		c.Effective, c.Permitted = caps, caps
	}
	return nil
}

// privileged takes away what keeps a container's root from being the host's, as far as
// who starts it may: in a user namespace that is not much.
func privileged(s *specs.Spec) error {
	root := s.Process.Capabilities.Effective != nil
	runtime.AllCapabilities(s.Process)
	if !root {
		s.Process.Capabilities.Effective, s.Process.Capabilities.Permitted = nil, nil
	}
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
	setMountOption(s.Mounts, "/sys", "ro", "rw")
	devices, err := hostDevices("/dev", "/dev")
	if err != nil {
		return err
	}
	s.Linux.Devices = append(s.Linux.Devices, devices...)
	return nil
}

// setMountOption replaces the option of the mount at a place that begins with old.
func setMountOption(mounts []specs.Mount, at, old, now string) {
	for i := range mounts {
		if mounts[i].Destination != at || mounts[i].Type == "bind" {
			continue
		}
		opts := slices.DeleteFunc(slices.Clone(mounts[i].Options), func(o string) bool {
			return o == old || strings.HasSuffix(old, "=") && strings.HasPrefix(o, old)
		})
		mounts[i].Options = append(opts, now)
	}
}

// parseUlimit reads NAME=SOFT[:HARD] with Docker's names.
func parseUlimit(s string) (specs.POSIXRlimit, error) {
	u, err := units.ParseUlimit(s)
	if err != nil {
		return specs.POSIXRlimit{}, fmt.Errorf("invalid ulimit %q: %w", s, err)
	}
	return specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(u.Name), Soft: uint64(u.Soft), Hard: uint64(u.Hard)}, nil
}

// A DeviceOption is a device of the host that a container gets, or a directory of them.
type DeviceOption struct {
	Host      string `json:"host"`
	Container string `json:"container"`
	Access    string `json:"access,omitempty"` // of r, w and m; empty: all
}

// access is what may be done with the device: read, write, and make nodes of it.
func (d DeviceOption) access() string {
	if d.Access == "" {
		return "rwm"
	}
	return d.Access
}

// restricted tells that the container may not read and write it as it likes.
func (d DeviceOption) restricted() bool {
	return !strings.Contains(d.access(), "r") || !strings.Contains(d.access(), "w")
}

// ParseDevice reads HOST[:CONTAINER][:rwm].
func ParseDevice(s string) (DeviceOption, error) {
	parts := strings.Split(s, ":")
	d := DeviceOption{Host: parts[0], Container: parts[0]}
	rest := parts[1:]
	if n := len(rest); n > 0 && rest[n-1] != "" && strings.Trim(rest[n-1], "rwm") == "" {
		d.Access = rest[n-1]
		rest = rest[:n-1]
	}
	switch len(rest) {
	case 0:
	case 1:
		d.Container = rest[0]
	default:
		return d, fmt.Errorf("invalid device specification: %s", s)
	}
	if !filepath.IsAbs(d.Host) || !filepath.IsAbs(d.Container) {
		return d, fmt.Errorf("invalid device specification: %s: paths must be absolute", s)
	}
	return d, nil
}

func (d DeviceOption) devices() ([]specs.LinuxDevice, error) {
	fi, err := os.Stat(d.Host)
	if err != nil {
		return nil, fmt.Errorf("error gathering device information while adding custom device %q: %w", d.Host, err)
	}
	if fi.IsDir() {
		return hostDevices(d.Host, d.Container)
	}
	one, ok := hostDevice(d.Host, d.Container)
	if !ok {
		return nil, fmt.Errorf("error gathering device information while adding custom device %q: not a device node", d.Host)
	}
	return []specs.LinuxDevice{one}, nil
}

func hostDevice(path, at string) (specs.LinuxDevice, bool) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return specs.LinuxDevice{}, false
	}
	d := specs.LinuxDevice{Path: at, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev))}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		d.Type = "c"
	case unix.S_IFBLK:
		d.Type = "b"
	default:
		return d, false
	}
	mode := os.FileMode(st.Mode & 0o7777)
	d.FileMode = &mode
	return d, true
}

// hostDevices are the devices below a directory of the host, but for those that every
// container has its own of.
func hostDevices(dir, at string) ([]specs.LinuxDevice, error) {
	var out []specs.LinuxDevice
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // not ours to see
		}
		rel, _ := filepath.Rel("/dev", path)
		if e.IsDir() && slices.Contains([]string{"pts", "shm", "mqueue", "fd", "hugepages"}, rel) {
			return filepath.SkipDir
		}
		if e.Type()&fs.ModeDevice == 0 || rel == "console" || rel == "ptmx" || rel == "tty" {
			return nil
		}
		if d, ok := hostDevice(path, filepath.Join(at, strings.TrimPrefix(path, dir))); ok {
			out = append(out, d)
		}
		return nil
	})
	return out, err
}

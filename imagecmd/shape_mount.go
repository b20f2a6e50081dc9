package imagecmd

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Types of what is mounted in a container.
const (
	mountBind   = "bind"
	mountTmpfs  = "tmpfs"
	mountVolume = "volume"
)

// A MountOption is something that is to be mounted in a container.
type MountOption struct {
	Type    string   `json:"type"`             // bind, tmpfs or volume
	Source  string   `json:"source,omitempty"` // a path of the host, or a volume's name; empty: an anonymous one
	Target  string   `json:"target"`
	Options []string `json:"options,omitempty"` // as the runtime specification has them
	// MakeSource makes a directory where there is no source, as Docker's -v does.
	MakeSource bool `json:"makeSource,omitempty"`
	// Spec is what -v said, with an absolute source; empty for all else.
	Spec string `json:"spec,omitempty"`
	// Mode is the options that -v or --tmpfs said.
	Mode string `json:"mode,omitempty"`
	// Long tells that --mount said it, From that it is another container's.
	Long bool   `json:"long,omitempty"`
	From string `json:"from,omitempty"`

	// What follows is of volumes.

	Anonymous     bool              `json:"anonymous,omitempty"` // made for this container, with which it goes
	NoCopy        bool              `json:"noCopy,omitempty"`    // don't fill it with what the image has
	Subpath       string            `json:"subpath,omitempty"`   // a directory or file of it
	Labels        map[string]string `json:"labels,omitempty"`    // of one that is made
	DriverOptions map[string]string `json:"driverOptions,omitempty"`
}

func (m MountOption) mount() (specs.Mount, error) {
	out := specs.Mount{Destination: m.Target, Type: m.Type, Source: m.Source, Options: m.Options}
	if m.Type == mountTmpfs {
		out.Source = "tmpfs"
		return out, nil
	}
	if _, err := os.Stat(m.Source); os.IsNotExist(err) {
		if !m.MakeSource {
			return out, fmt.Errorf("invalid mount config for type \"bind\": bind source path does not exist: %s", m.Source)
		}
		if err := os.MkdirAll(m.Source, 0o755); err != nil {
			return out, fmt.Errorf("making %s, which is to be mounted: %w", m.Source, err)
		}
	}
	return out, nil
}

// propagations are those of a bind mount, as Docker names them.
var propagations = []string{"private", "rprivate", "shared", "rshared", "slave", "rslave"}

// ParseVolume reads [SOURCE:]TARGET[:OPTION[,OPTION…]]: a path of the host, a volume's
// name, or nothing, which is an anonymous volume.
func ParseVolume(s string) (MountOption, error) {
	parts := strings.Split(s, ":")
	invalid := func(why string) (MountOption, error) {
		return MountOption{}, fmt.Errorf("invalid volume specification: '%s'%s", s, why)
	}
	if slices.Contains(parts, "") || len(parts) > 3 {
		return invalid("")
	}
	m := MountOption{Type: mountVolume, Spec: s}
	target := parts[0]
	if len(parts) > 1 {
		m.Source, target = parts[0], parts[1]
	} else {
		m.Spec, m.Anonymous = "", true
	}
	var err error
	if m.Target, err = mountTarget(target); err != nil {
		return m, fmt.Errorf("invalid volume specification: '%s': %w", s, err)
	}
	if strings.HasPrefix(m.Source, "/") || strings.HasPrefix(m.Source, ".") {
		m.Type, m.MakeSource = mountBind, true
		if m.Source, err = filepath.Abs(m.Source); err != nil {
			return m, err
		}
		m.Spec = strings.Join(append([]string{m.Source}, parts[1:]...), ":")
	} else if m.Source != "" {
		if err := checkVolumeName(m.Source); err != nil {
			return m, err
		}
	}
	read, bind, spread := "rw", "rbind", "rprivate"
	if len(parts) == 3 {
		m.Mode = parts[2]
		for o := range strings.SplitSeq(m.Mode, ",") {
			switch {
			case o == "ro" || o == "readonly":
				read = "rro"
			case o == "rw":
			case o == "z" || o == "Z": // labels for SELinux, which isn't used
			case o == "consistent" || o == "cached" || o == "delegated": // a mount here is always consistent
			case o == "nocopy" && m.Type == mountVolume:
				m.NoCopy = true
			case (o == "bind" || o == "rbind") && m.Type == mountBind:
				bind = o
			case slices.Contains(propagations, o) && m.Type == mountBind:
				spread = o
			default:
				return invalid(fmt.Sprintf(": unknown option %q", o))
			}
		}
	}
	m.Options = []string{bind, read, spread}
	return m, nil
}

func mountTarget(s string) (string, error) {
	if !path.IsAbs(s) {
		return "", fmt.Errorf("invalid mount target, it must be an absolute path: %s", s)
	}
	if s = path.Clean(s); s == "/" {
		return "", fmt.Errorf("invalid mount target: it can't be '/'")
	}
	return s, nil
}

// tmpfsDefaults are Docker's.
var tmpfsDefaults = []string{"nosuid", "nodev", "noexec"}

// ParseTmpfs reads TARGET[:OPTION[,OPTION…]], options of mount(8).
func ParseTmpfs(s string) (MountOption, error) {
	target, opts, _ := strings.Cut(s, ":")
	m := MountOption{Type: mountTmpfs, Mode: opts}
	var err error
	if m.Target, err = mountTarget(target); err != nil {
		return m, err
	}
	m.Options = slices.Clone(tmpfsDefaults)
	for o := range strings.SplitSeq(opts, ",") {
		if o == "" {
			continue
		}
		m.Options = slices.DeleteFunc(m.Options, func(d string) bool { return d == "no"+o })
		m.Options = append(m.Options, o)
	}
	return m, nil
}

package imagecmd

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A MountOption is something that is to be mounted in a container.
type MountOption struct {
	Type    string   `json:"type"` // bind or tmpfs
	Source  string   `json:"source,omitempty"`
	Target  string   `json:"target"`
	Options []string `json:"options,omitempty"` // as the runtime specification has them
	// MakeSource makes a directory where there is no source, as Docker's -v does.
	MakeSource bool `json:"makeSource,omitempty"`
}

func (m MountOption) mount() (specs.Mount, error) {
	out := specs.Mount{Destination: m.Target, Type: m.Type, Source: m.Source, Options: m.Options}
	if m.Type == "tmpfs" {
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

// ParseVolume reads SOURCE:TARGET[:OPTION[,OPTION…]].
func ParseVolume(s string) (MountOption, error) {
	m := MountOption{Type: "bind", MakeSource: true}
	parts := strings.Split(s, ":")
	if len(parts) == 1 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
		if len(parts) == 1 && path.IsAbs(s) {
			return m, fmt.Errorf("volume %s: anonymous volumes are not supported: name a directory of the host, HOST:%s", s, s)
		}
		return m, fmt.Errorf("invalid volume specification: '%s'", s)
	}
	m.Source = parts[0]
	if !strings.HasPrefix(m.Source, "/") && !strings.HasPrefix(m.Source, ".") {
		return m, fmt.Errorf("volume %s: named volumes are not supported: name a directory of the host (/… or ./…)", s)
	}
	var err error
	if m.Source, err = filepath.Abs(m.Source); err != nil {
		return m, err
	}
	if m.Target, err = mountTarget(parts[1]); err != nil {
		return m, err
	}
	var opts []string
	if len(parts) == 3 {
		opts = strings.Split(parts[2], ",")
	}
	read, bind, spread := "rw", "rbind", "rprivate"
	for _, o := range opts {
		switch {
		case o == "ro" || o == "readonly":
			read = "rro"
		case o == "rw":
		case o == "z" || o == "Z": // labels for SELinux, which isn't used
		case o == "bind" || o == "rbind":
			bind = o
		case slices.Contains(propagations, o):
			spread = o
		default:
			return m, fmt.Errorf("invalid volume specification: '%s': unknown option %q", s, o)
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
	m := MountOption{Type: "tmpfs"}
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

// ParseMount reads Docker's --mount: KEY[=VALUE],….
func ParseMount(s string) (MountOption, error) {
	m := MountOption{Type: "volume"}
	read, spread, size, mode := "rw", "rprivate", "", "mode=1777"
	bind := "rbind"
	for field := range strings.SplitSeq(s, ",") {
		key, value, given := strings.Cut(field, "=")
		var err error
		switch key = strings.ToLower(key); key {
		case "type":
			m.Type = value
		case "source", "src":
			m.Source = value
		case "target", "dst", "destination":
			m.Target, err = mountTarget(value)
		case "readonly", "ro":
			switch {
			case !given || value == "true" || value == "1":
				read = "rro"
			case value != "false" && value != "0":
				err = fmt.Errorf("invalid value for %s: %s", key, value)
			}
		case "bind-propagation":
			if spread = value; !slices.Contains(propagations, value) {
				err = fmt.Errorf("invalid propagation mode: %s", value)
			}
		case "bind-nonrecursive":
			if value == "" || value == "true" || value == "1" {
				bind = "bind"
			}
		case "tmpfs-size":
			var n int64
			n, err = units.RAMInBytes(value)
			size = fmt.Sprintf("size=%d", n)
		case "tmpfs-mode":
			mode = "mode=" + value
		default:
			err = fmt.Errorf("unexpected key '%s' in '%s'", key, field)
		}
		if err != nil {
			return m, fmt.Errorf("invalid mount %q: %w", s, err)
		}
	}
	if m.Target == "" {
		return m, fmt.Errorf("invalid mount %q: target is required", s)
	}
	switch m.Type {
	case "bind":
		if m.Source == "" {
			return m, fmt.Errorf("invalid mount %q: source is required", s)
		}
		if !filepath.IsAbs(m.Source) {
			return m, fmt.Errorf("invalid mount %q: source must be an absolute path", s)
		}
		m.Options = []string{bind, read, spread}
	case "tmpfs":
		if m.Source != "" {
			return m, fmt.Errorf("invalid mount %q: tmpfs has no source", s)
		}
		m.Options = append(slices.Clone(tmpfsDefaults), mode)
		if size != "" {
			m.Options = append(m.Options, size)
		}
		if read == "rro" {
			m.Options = append(m.Options, "ro")
		}
	default:
		return m, fmt.Errorf("invalid mount %q: type %q is not supported: there are bind and tmpfs", s, m.Type)
	}
	return m, nil
}

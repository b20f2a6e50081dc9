package imagecmd

import (
	"encoding/csv"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// mountFields are the fields of a --mount, before they are one.
type mountFields struct {
	m                              MountOption
	bind, read, spread, size, mode string
	ofBind, ofVolume, ofTmpfs      string // a key that was said and only that type has
}

// ParseMount reads Docker's --mount: KEY[=VALUE],…, in CSV.
func ParseMount(s string) (MountOption, error) {
	if s == "" {
		return MountOption{}, errors.New("invalid mount \"\": value is empty")
	}
	fields, err := csv.NewReader(strings.NewReader(s)).Read()
	f := mountFields{m: MountOption{Type: mountVolume, Long: true}, bind: "rbind", read: "rw", spread: "rprivate", mode: "mode=1777"}
	for _, field := range fields {
		if err == nil {
			err = f.set(field)
		}
	}
	if err == nil {
		err = f.finish()
	}
	if err != nil {
		return f.m, fmt.Errorf("invalid mount %q: %w", s, err)
	}
	return f.m, nil
}

// mountFlag reads a value that is true or false; none is true.
func mountFlag(key, value string) (bool, error) {
	switch value {
	case "", "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("invalid value for %s: %s", key, value)
}

func (f *mountFields) set(field string) (err error) {
	key, value, given := strings.Cut(field, "=")
	key = strings.ToLower(key)
	switch kind, _, ok := strings.Cut(key, "-"); {
	case ok && kind == "bind":
		f.ofBind = key
	case ok && kind == "volume":
		f.ofVolume = key
	case ok && kind == "tmpfs":
		f.ofTmpfs = key
	}
	switch key {
	case "readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src":
	default:
		if !given || value == "" {
			return fmt.Errorf("invalid field '%s' must be a key=value pair", field)
		}
	}
	var yes bool
	m := &f.m
	switch key {
	case "type":
		m.Type = strings.ToLower(value)
	case "source", "src":
		m.Source = value
	case "target", "dst", "destination":
		m.Target, err = mountTarget(value)
	case "readonly", "ro":
		if yes, err = mountFlag(key, value); yes {
			f.read = "rro"
		}
	case "consistency": // a mount here is always consistent
		if !slices.Contains([]string{"default", "consistent", "cached", "delegated"}, value) {
			err = fmt.Errorf("invalid value for %s: %s", key, value)
		}
	case "bind-propagation":
		if f.spread = value; !slices.Contains(propagations, value) {
			err = fmt.Errorf("invalid propagation mode: %s", value)
		}
	case "bind-nonrecursive":
		if yes, err = mountFlag(key, value); yes {
			f.bind = "bind"
		}
	case "bind-recursive":
		err = f.recursive(value)
	case "bind-create-src":
		m.MakeSource, err = mountFlag(key, value)
	case "volume-nocopy":
		m.NoCopy, err = mountFlag(key, value)
	case "volume-subpath":
		m.Subpath = value
	case "volume-label":
		m.Labels = withPair(m.Labels, value)
	case "volume-opt":
		if !strings.Contains(value, "=") {
			return fmt.Errorf("invalid field '%s' must be a key=value pair", field)
		}
		m.DriverOptions = withPair(m.DriverOptions, value)
	case "volume-driver":
		if value != localDriver {
			err = noDriver(value)
		}
	case "tmpfs-size":
		var n int64
		n, err = parseBytes(value)
		f.size = fmt.Sprintf("size=%d", n)
	case "tmpfs-mode":
		f.mode = "mode=" + value
	default:
		err = fmt.Errorf("unexpected key '%s' in '%s'", key, field)
	}
	return err
}

// recursive says what of the mounts below a bind's source is mounted, and how.
func (f *mountFields) recursive(value string) error {
	switch value {
	case "enabled", "readonly": // read-only, where that is asked for, is so for all below
	case "disabled":
		f.bind = "bind"
	case "writable":
		if f.read == "rro" {
			f.read = "ro"
		}
	default:
		return fmt.Errorf("invalid value for bind-recursive: %s (must be enabled, disabled, writable or readonly)", value)
	}
	return nil
}

func withPair(m map[string]string, pair string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	key, value, _ := strings.Cut(pair, "=")
	m[key] = value
	return m
}

// noDriver is Docker's sentence about a volume driver that is missing.
func noDriver(name string) error {
	return fmt.Errorf("error looking up volume plugin %s: plugin %q not found", name, name)
}

// finish checks what can be said together, and makes one mount of it.
func (f *mountFields) finish() error {
	m := &f.m
	if m.Target == "" {
		return fmt.Errorf("target is required")
	}
	for kind, key := range map[string]string{mountBind: f.ofBind, mountVolume: f.ofVolume, mountTmpfs: f.ofTmpfs} {
		if key != "" && m.Type != kind {
			return fmt.Errorf("cannot mix '%s' with mount type '%s'", key, m.Type)
		}
	}
	switch m.Type {
	case mountBind:
		if m.Source == "" {
			return fmt.Errorf("source is required")
		}
		if !filepath.IsAbs(m.Source) {
			return fmt.Errorf("source must be an absolute path")
		}
		m.Options = []string{f.bind, f.read, f.spread}
	case mountVolume:
		m.Anonymous = m.Source == ""
		if m.Source != "" {
			if err := checkVolumeName(m.Source); err != nil {
				return err
			}
		}
		if m.Subpath != "" && (path.IsAbs(m.Subpath) || path.Clean("/"+m.Subpath) != "/"+path.Clean(m.Subpath)) {
			return fmt.Errorf("subpath must be a relative path within the volume")
		}
		if m.Subpath != "" && m.Anonymous {
			return fmt.Errorf("must not set Subpath when using anonymous volumes")
		}
		if err := checkVolumeOptions(m.DriverOptions); err != nil {
			return err
		}
		m.Options = []string{f.bind, f.read, f.spread}
	case mountTmpfs:
		if m.Source != "" {
			return fmt.Errorf("tmpfs has no source")
		}
		m.Options = append(slices.Clone(tmpfsDefaults), f.mode)
		if f.size != "" {
			m.Options = append(m.Options, f.size)
		}
		if f.read == "rro" {
			m.Options = append(m.Options, "ro")
		}
	default:
		return fmt.Errorf("type %q is not supported: there are bind, volume and tmpfs", m.Type)
	}
	return nil
}

package imagecmd

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/cfs-project/cfs/runtime"
)

// ParseLabels reads labels, KEY=VALUE or KEY alone, those of files first.
func ParseLabels(files, labels []string) (map[string]string, error) {
	var all []string
	for _, name := range files {
		lines, err := envFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	var out map[string]string
	for _, l := range append(all, labels...) {
		key, value, _ := strings.Cut(l, "=")
		if key == "" {
			return nil, fmt.Errorf("invalid label %q: a label is KEY=VALUE", l)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[key] = value
	}
	return out, nil
}

// withLabels are an image's labels, and a container's own, which win.
func withLabels(image, own map[string]string) map[string]string {
	if len(image) == 0 {
		return own
	}
	all := maps.Clone(image)
	maps.Copy(all, own)
	return all
}

// ParseLog reads Docker's --log-driver and --log-opt as far as cfs has them.
func ParseLog(driver string, opts []string) (LogOptions, error) {
	var o LogOptions
	switch driver {
	case "json-file", "":
	case "none":
		o.None = true
	default:
		return o, fmt.Errorf("log driver %q is not supported: there are json-file and none", driver)
	}
	for _, opt := range opts {
		key, value, _ := strings.Cut(opt, "=")
		var err error
		switch key {
		case "max-size":
			o.MaxSize, err = parseBytes(value)
			if err == nil && o.MaxSize <= 0 && value != "-1" {
				err = errors.New("it must be more than 0")
			}
			o.MaxSize = max(o.MaxSize, 0)
		case "max-file":
			o.MaxFiles, err = strconv.Atoi(value)
			if err == nil && o.MaxFiles < 1 {
				err = errors.New("it must be at least 1")
			}
		default:
			return o, fmt.Errorf("log option %q is not supported: there are max-size and max-file", key)
		}
		if err != nil {
			return o, fmt.Errorf("log option %s: %w", opt, err)
		}
	}
	if o.MaxFiles > 1 && o.MaxSize == 0 {
		return o, errors.New("log option max-file needs max-size")
	}
	return o, nil
}

// ParseSize reads a number of bytes, as 64m, for the flag of that name.
func ParseSize(flag, s string) (int64, error) {
	n, err := parseBytes(s)
	if err == nil && n <= 0 {
		err = errors.New("it must be more than 0")
	}
	if err != nil {
		return 0, fmt.Errorf("--%s %s: %w", flag, s, err)
	}
	return n, nil
}

// ParseSysctls reads NAME=VALUE.
func ParseSysctls(list []string) (map[string]string, error) {
	var out map[string]string
	for _, s := range list {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("sysctl %q is not NAME=VALUE", s)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = value
	}
	return out, nil
}

// hostGateway is an address that stands for the host's, as the container reaches it.
const hostGateway = "host-gateway"

// ParseHosts reads NAME:ADDRESS, or NAME=ADDRESS, whose address may be of IPv6 in brackets,
// or host-gateway.
func ParseHosts(list []string) ([]string, error) {
	var out []string
	for _, s := range list {
		i := strings.IndexAny(s, ":=")
		if i < 1 {
			return nil, fmt.Errorf("bad format for add-host: %q", s)
		}
		name, address := s[:i], strings.Trim(s[i+1:], "[]")
		if address != hostGateway && net.ParseIP(address) == nil {
			return nil, fmt.Errorf("invalid IP address in add-host: %q", address)
		}
		out = append(out, name+":"+address)
	}
	return out, nil
}

// CheckShape refuses what would only be refused when the container starts.
func (o ShapeOptions) CheckShape() error {
	if _, err := runtime.Capabilities(o.CapAdd, o.CapDrop); err != nil {
		return err
	}
	for _, u := range o.Ulimits {
		if _, err := parseUlimit(u); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, m := range o.Mounts {
		if seen[m.Target] {
			return sentencef(nil, "Duplicate mount point: %s", m.Target)
		}
		seen[m.Target] = true
	}
	for _, a := range o.DNS {
		if net.ParseIP(a) == nil {
			return fmt.Errorf("%s is not an ip address", a)
		}
	}
	if a := o.OOMScoreAdj; a != nil && (*a < -1000 || *a > 1000) {
		return fmt.Errorf("invalid value %d, range for oom score adj is [-1000, 1000]", *a)
	}
	return nil
}

// writeCIDFile writes a container's ID where nothing is yet.
func writeCIDFile(path, id string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("container ID file found, make sure the other container isn't running or delete %s", path)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(id)
	if err = errors.Join(err, f.Close()); err != nil { // of a full disk, for one
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

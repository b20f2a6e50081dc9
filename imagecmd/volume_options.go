package imagecmd

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// ParseVolumeOptions reads KEY=VALUE, each once.
func ParseVolumeOptions(list []string) (map[string]string, error) {
	var out map[string]string
	for _, s := range list {
		key, _, ok := strings.Cut(s, "=")
		if _, twice := out[key]; !ok || key == "" || twice {
			return nil, fmt.Errorf("invalid volume option %q: an option is KEY=VALUE, and said once", s)
		}
		out = withPair(out, s)
	}
	return out, checkVolumeOptions(out)
}

// sameOptions compares options, of which missing ones are empty.
func sameOptions(a, b map[string]string) bool {
	for _, k := range []string{"type", "o", "device"} {
		if a[k] != b[k] {
			return false
		}
	}
	return true
}

// checkVolumeOptions refuses options that the local driver of Docker has, and cfs has
// not: what is mounted in a container is a directory.
func checkVolumeOptions(o map[string]string) error {
	for k := range o {
		if k != "type" && k != "o" && k != "device" {
			return fmt.Errorf("invalid option: %q", k)
		}
	}
	switch kind, how, device := o["type"], o["o"], o["device"]; {
	case len(o) == 0:
		return nil
	case kind != "" && kind != "none" && kind != "bind":
		return fmt.Errorf("volume option type=%s is not supported: there is none, with o=bind and device=DIRECTORY", kind)
	case how == "" || device == "":
		return errors.New("missing required option: o=bind and device=DIRECTORY go together")
	case how != "bind" && how != "rbind":
		return fmt.Errorf("volume option o=%s is not supported: there is bind", how)
	case !filepath.IsAbs(device):
		return fmt.Errorf("volume option device=%s: a device is an absolute path of a directory", device)
	}
	return nil
}

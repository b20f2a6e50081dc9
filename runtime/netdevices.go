package runtime

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// checkNetDevices refuses what linux.netDevices can't mean: devices are moved into a network
// namespace of the container's own, under names that the kernel takes (runtime-spec,
// config-linux.md, "Network Devices"). Who calls [Create] moves them.
func checkNetDevices(devices map[string]specs.LinuxNetDevice, n namespaces) error {
	if len(devices) > 0 && !n.private(unix.CLONE_NEWNET) {
		return invalid("linux.netDevices: the container has no network namespace of its own")
	}
	inside := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		to := devices[name].Name
		if to == "" {
			to = name
		}
		if !validDevice(name) || strings.Contains(name, "%") {
			return invalid("linux.netDevices: %q is no name of a device", name)
		}
		if !validDevice(to) || strings.Contains(strings.Replace(to, "%d", "", 1), "%") {
			return invalid("linux.netDevices %s: %q is no name of a device", name, to)
		}
		if other, ok := inside[to]; ok && !strings.Contains(to, "%d") {
			return invalid("linux.netDevices: %s and %s are both to be %s", other, name, to)
		}
		inside[to] = name
	}
	return nil
}

// validDevice is the kernel's rule (net/core/dev.c, dev_valid_name).
func validDevice(name string) bool {
	return name != "" && len(name) < unix.IFNAMSIZ && name != "." && name != ".." &&
		!strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r == ':' || unicode.IsSpace(r) })
}

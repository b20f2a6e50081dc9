package runtime

import (
	"maps"
	"slices"
)

// MountOptions are the options of mounts that mean something to this runtime; others are the
// file system's.
func MountOptions() []string {
	names := []string{
		"defaults", "silent", "loud", "bind", "rbind", "sync", "dirsync", "mand", "lazytime", "iversion",
		"async", "nomand", "nolazytime", "noiversion", "remount", "tmpcopyup", "idmap", "ridmap",
	}
	for o := range attrOptions {
		names = append(names, o, "r"+o)
	}
	for p := range propagations {
		names = append(names, p, "r"+p)
	}
	slices.Sort(names)
	return names
}

// Namespaces are the kinds of namespaces that a container may have.
func Namespaces() (names []string) {
	for n := range maps.Keys(namespaceFlags) {
		names = append(names, string(n))
	}
	slices.Sort(names)
	return names
}

// KnownCapabilities are the names of the capabilities, in the order of their numbers.
func KnownCapabilities() []string {
	names := make([]string, len(capNames))
	for i, n := range capNames {
		names[i] = "CAP_" + n
	}
	return names
}

package imagecmd

import (
	"errors"
	"fmt"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// modeHost is the mode of a namespace that a container shares with its host.
const modeHost = "host"

// checkSpaces refuses namespaces that a container can't have.
func (o ShapeOptions) checkSpaces(hostname string) error {
	switch o.IPC {
	case "", "private", "none", modeHost:
	default:
		return fmt.Errorf("--ipc: %s is not supported: there are private, none and host", o.IPC)
	}
	switch o.UTS {
	case "":
	case modeHost:
		if hostname != "" || o.Domainname != "" {
			return errors.New("conflicting options: hostname and the UTS mode")
		}
	default:
		return fmt.Errorf("--uts: invalid UTS mode %q: there is host", o.UTS)
	}
	return nil
}

// spaces takes away namespaces that the container shares with its host.
func (o ShapeOptions) spaces(s *specs.Spec) {
	without := func(kind specs.LinuxNamespaceType) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
	}
	if o.UTS == modeHost {
		without(specs.UTSNamespace)
		s.Hostname = ""
	}
	switch o.IPC {
	case "none": // a namespace of its own, and no memory to share
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/dev/shm" })
	case modeHost:
		without(specs.IPCNamespace)
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool {
			return slices.Contains(ipcMounts, m.Destination)
		})
		for _, at := range ipcMounts {
			if _, err := os.Stat(at); err == nil {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: at, Type: mountBind, Source: at, Options: []string{"rbind", "rprivate"}})
			}
		}
	}
}

// ipcMounts show what is in an IPC namespace, or is shared beside it.
var ipcMounts = []string{"/dev/shm", "/dev/mqueue"}

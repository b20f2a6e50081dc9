package runtime

import (
	"fmt"
	"os"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// namespaces is what a configuration says about them, ready for clone(2).
type namespaces struct {
	flags uintptr // CLONE_NEW* of those to make
	join  []joinNamespace
	// With CLONE_NEWUSER: its maps.
	uids, gids []syscall.SysProcIDMap
}

// A joinNamespace is an existing namespace, to be entered before the clone.
type joinNamespace struct {
	flag int
	path string
}

var namespaceFlags = map[specs.LinuxNamespaceType]uintptr{
	specs.PIDNamespace:     unix.CLONE_NEWPID,
	specs.NetworkNamespace: unix.CLONE_NEWNET,
	specs.MountNamespace:   unix.CLONE_NEWNS,
	specs.IPCNamespace:     unix.CLONE_NEWIPC,
	specs.UTSNamespace:     unix.CLONE_NEWUTS,
	specs.UserNamespace:    unix.CLONE_NEWUSER,
	specs.CgroupNamespace:  unix.CLONE_NEWCGROUP,
}

func planNamespaces(l *specs.Linux) (namespaces, error) {
	var n namespaces
	if l == nil {
		return n, invalid("linux is missing")
	}
	seen := map[specs.LinuxNamespaceType]bool{}
	for _, ns := range l.Namespaces {
		flag, ok := namespaceFlags[ns.Type]
		if !ok {
			return n, unsupported(fmt.Sprintf("linux.namespaces type %s", ns.Type))
		}
		if seen[ns.Type] {
			return n, invalid("linux.namespaces has %s twice", ns.Type)
		}
		seen[ns.Type] = true
		if ns.Path == "" {
			n.flags |= flag
			continue
		}
		switch ns.Type {
		case specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace:
			n.join = append(n.join, joinNamespace{int(flag), ns.Path})
		default:
			return n, unsupported(fmt.Sprintf("linux.namespaces %s with a path", ns.Type))
		}
	}
	// Run promises that nothing of the container is left, which only a pid
	// namespace can keep, and pivots, which needs a mount namespace.
	for _, need := range []specs.LinuxNamespaceType{specs.PIDNamespace, specs.MountNamespace} {
		if !seen[need] {
			return n, unsupported(fmt.Sprintf("linux.namespaces without %s", need))
		}
	}
	if seen[specs.UserNamespace] != (len(l.UIDMappings) > 0) || seen[specs.UserNamespace] != (len(l.GIDMappings) > 0) {
		return n, invalid("linux.uidMappings and gidMappings go with a new user namespace")
	}
	n.uids, n.gids = idMaps(l.UIDMappings), idMaps(l.GIDMappings)
	return n, nil
}

func idMaps(ms []specs.LinuxIDMapping) []syscall.SysProcIDMap {
	var s []syscall.SysProcIDMap
	for _, m := range ms {
		s = append(s, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)})
	}
	return s
}

// enter makes the calling thread a member of the namespaces to be joined. The
// thread is good for nothing else afterwards.
func (n namespaces) enter() error {
	for _, j := range n.join {
		f, err := os.Open(j.path)
		if err != nil {
			return fmt.Errorf("join namespace: %w", err)
		}
		// The kernel checks that it is a namespace, and of this type.
		err = unix.Setns(int(f.Fd()), j.flag)
		f.Close()
		if err != nil {
			return fmt.Errorf("join namespace %s: %w", j.path, err)
		}
	}
	return nil
}

// private tells whether the container has a namespace of this kind of its own.
func (n namespaces) private(flag uintptr) bool {
	if n.flags&flag != 0 {
		return true
	}
	for _, j := range n.join {
		if uintptr(j.flag) == flag {
			return true
		}
	}
	return false
}

// loopbackUp sets the interface lo up in the current network namespace.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr)
}

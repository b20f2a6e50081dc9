package runtime

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// namespaces is what a configuration says about them, ready for clone(2).
type namespaces struct {
	flags uintptr // CLONE_NEW* of those to make, but for the time's
	join  []joinNamespace
	// With CLONE_NEWUSER: its maps.
	uids, gids []syscall.SysProcIDMap
	// mounts is the mount namespace to join, if it is not a new one. Init joins it, as it is
	// started in the caller's.
	mounts string
	// cgroup asks for a new cgroup namespace. Init makes it, once it is in its group: that is
	// the namespace's root then (cgroup_namespaces(7)).
	cgroup bool
	// time asks for a new time namespace, and timeOffsets is what is written to its
	// timens_offsets; empty leaves the clocks as they are.
	time        bool
	timeOffsets string
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
	specs.TimeNamespace:    unix.CLONE_NEWTIME,
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
		switch {
		case ns.Path != "" && ns.Type == specs.UserNamespace && sameNamespace(ns.Path, "/proc/self/ns/user"):
			// Where we are already, which the kernel calls an invalid argument.
			if len(l.UIDMappings) > 0 || len(l.GIDMappings) > 0 {
				return n, invalid("linux.uidMappings and gidMappings go with a new user namespace")
			}
			seen[ns.Type] = false
		case ns.Path != "" && ns.Type == specs.MountNamespace:
			n.mounts = ns.Path
		case ns.Path != "":
			n.join = append(n.join, joinNamespace{int(flag), ns.Path})
		case ns.Type == specs.TimeNamespace:
			n.time = true
		case ns.Type == specs.CgroupNamespace:
			n.cgroup = true
		default:
			n.flags |= flag
		}
	}
	if err := n.planTime(l.TimeOffsets); err != nil {
		return n, err
	}
	// A user namespace is joined first: it owns the others.
	slices.SortStableFunc(n.join, func(a, b joinNamespace) int {
		return cmp.Compare(b.flag&unix.CLONE_NEWUSER, a.flag&unix.CLONE_NEWUSER)
	})
	if n.joins(unix.CLONE_NEWUSER) {
		// The mappings are those of the namespace that is joined.
		return n, nil
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

// planTime takes in the offsets of a new time namespace (time_namespaces(7)).
func (n *namespaces) planTime(offsets map[string]specs.LinuxTimeOffset) error {
	if len(offsets) > 0 && !n.time {
		return invalid("linux.timeOffsets needs a new time namespace")
	}
	for _, clock := range slices.Sorted(maps.Keys(offsets)) {
		if clock != "monotonic" && clock != "boottime" {
			return invalid("linux.timeOffsets: clock %q", clock)
		}
		n.timeOffsets += fmt.Sprintf("%s %d %d\n", clock, offsets[clock].Secs, offsets[clock].Nanosecs)
	}
	return nil
}

// sameNamespace tells whether two files are the same namespace.
func sameNamespace(a, b string) bool {
	var x, y unix.Stat_t
	return unix.Stat(a, &x) == nil && unix.Stat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}

// sharesMounts tells whether the container's mounts are made in the caller's namespace.
func (n namespaces) sharesMounts() bool { return n.flags&unix.CLONE_NEWNS == 0 && n.mounts == "" }

// ownsPids tells whether the end of the first process is the end of all.
func (n namespaces) ownsPids() bool { return n.flags&unix.CLONE_NEWPID != 0 }

// joins tells whether an existing namespace of this kind is entered.
func (n namespaces) joins(flag int) bool {
	return slices.ContainsFunc(n.join, func(j joinNamespace) bool { return j.flag == flag })
}

// private tells whether the container has a namespace of this kind of its own.
func (n namespaces) private(flag uintptr) bool {
	return n.flags&flag != 0 || flag == unix.CLONE_NEWCGROUP && n.cgroup || n.joins(int(flag))
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

package runtime

import (
	"fmt"
	"strings"
	"syscall"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// capNames are the capabilities in the order of their numbers (capability.h).
var capNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
	"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
	"IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
	"SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
	"LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
	"WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// capSets is a process's capabilities as bit masks.
type capSets struct {
	Bounding, Effective, Permitted, Inheritable, Ambient uint64
}

// parseCaps turns names into masks. Nil, as the specification has it, is no
// capability at all. Names that aren't known are returned: they are to be warned of,
// not to fail for (config.md, "Linux Process").
func parseCaps(c *specs.LinuxCapabilities) (s capSets, unknown []string) {
	if c == nil {
		return s, nil
	}
	for _, set := range []struct {
		name  string
		names []string
		mask  *uint64
	}{
		{"bounding", c.Bounding, &s.Bounding}, {"effective", c.Effective, &s.Effective},
		{"permitted", c.Permitted, &s.Permitted}, {"inheritable", c.Inheritable, &s.Inheritable},
		{"ambient", c.Ambient, &s.Ambient},
	} {
		for _, n := range set.names {
			bit, ok := capBit(n)
			if !ok {
				unknown = append(unknown, "process.capabilities."+set.name+" "+n)
			}
			*set.mask |= bit
		}
	}
	return s, unknown
}

// grantable leaves what this process can give and the kernel can take: permitted
// is at most its own permitted set, effective is in permitted, ambient is in permitted and
// inheritable (capabilities(7)). The rest is returned.
func (s capSets) grantable(permitted uint64) (granted, refused capSets) {
	g := s
	g.Permitted &= permitted
	g.Effective &= g.Permitted
	g.Inheritable &= permitted
	g.Ambient &= g.Permitted & g.Inheritable
	return g, capSets{
		Effective: s.Effective &^ g.Effective, Permitted: s.Permitted &^ g.Permitted,
		Inheritable: s.Inheritable &^ g.Inheritable, Ambient: s.Ambient &^ g.Ambient,
	}
}

func (s capSets) names() []string {
	var ns []string
	for _, set := range []struct {
		name string
		mask uint64
	}{{"effective", s.Effective}, {"permitted", s.Permitted}, {"inheritable", s.Inheritable}, {"ambient", s.Ambient}} {
		if set.mask != 0 {
			ns = append(ns, "process.capabilities."+set.name+" "+capString(set.mask))
		}
	}
	return ns
}

// ownPermitted is the calling thread's permitted set.
func ownPermitted() (uint64, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&hdr, &have[0]); err != nil {
		return 0, fmt.Errorf("get capabilities: %w", err)
	}
	return uint64(have[0].Permitted) | uint64(have[1].Permitted)<<32, nil
}

func capBit(name string) (uint64, bool) {
	short := strings.TrimPrefix(name, "CAP_")
	for i, n := range capNames {
		if n == short {
			return 1 << i, true
		}
	}
	return 0, false
}

func capString(mask uint64) string {
	var ns []string
	for i, n := range capNames {
		if mask&(1<<i) != 0 {
			ns = append(ns, "CAP_"+n)
		}
	}
	return strings.Join(ns, " ")
}

// limitBounding drops what isn't in the set from the calling thread's bounding
// set. It needs CAP_SETPCAP, so it comes before apply.
func (s capSets) limitBounding() error {
	for c := uintptr(0); c < 64; c++ {
		have, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil {
			return nil // past the last capability of this kernel
		}
		if have == 0 || s.Bounding&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d from the bounding set: %w", c, err)
		}
	}
	return nil
}

// apply gives the sets to every thread of this process, then the ambient one to
// the calling thread, which is the one that executes the command.
func (s capSets) apply() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for i := range data {
		shift := 32 * i
		data[i] = unix.CapUserData{
			Effective:   uint32(s.Effective >> shift),
			Permitted:   uint32(s.Permitted >> shift),
			Inheritable: uint32(s.Inheritable >> shift),
		}
	}
	if _, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])), 0); e != 0 {
		return fmt.Errorf("set capabilities: %w", e)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	for c := uintptr(0); c < 64; c++ {
		if s.Ambient&(1<<c) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
			return fmt.Errorf("raise ambient capability CAP_%s: %w", capNames[c], err)
		}
	}
	return nil
}

package runtime

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/runtime/userns"
)

// DefaultPath is PATH where neither image nor person says otherwise, as Docker's.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// A Network says which network a container has.
type Network string

// The networks that need no set-up outside the container.
const (
	NetworkNone Network = "none" // a namespace of its own, with a loopback interface
	NetworkHost Network = "host" // the caller's
)

// SpecOptions are the choices that [DefaultSpec] leaves open.
type SpecOptions struct {
	Args     []string
	Env      []string // "NAME=value", later ones win
	Cwd      string   // "" is "/"
	User     User
	Hostname string // "" leaves the name alone
	Network  Network
	Terminal bool
	// NoNewPrivileges keeps setuid programs and file capabilities from giving
	// anything to the process.
	NoNewPrivileges bool
	ReadonlyRoot    bool
	// Mapping is that of the process that will call Run.
	Mapping userns.Mapping
}

// defaultCaps are the capabilities of a Docker container.
var defaultCaps = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// DefaultSpec is the configuration of a container as Docker would make it, as far as
// the mapping allows: all namespaces but the user's, Docker's capabilities, mounts,
// masked and read-only paths. Without sub-ids, supplementary groups are left out,
// since none exist there.
func DefaultSpec(o SpecOptions) *specs.Spec {
	if o.Cwd == "" {
		o.Cwd = "/"
	}
	caps := defaultCaps[:]
	c := &specs.LinuxCapabilities{Bounding: caps}
	if o.User.UID == 0 { // execve(2) takes them from everybody else
		c.Effective, c.Permitted = caps, caps
	}
	groups := o.User.Groups
	if o.Mapping.Single() {
		groups = nil
	}
	s := &specs.Spec{
		Version:  "1.3.0",
		Hostname: o.Hostname,
		Root:     &specs.Root{Path: "rootfs", Readonly: o.ReadonlyRoot},
		Process: &specs.Process{
			Terminal:        o.Terminal,
			User:            specs.User{UID: o.User.UID, GID: o.User.GID, AdditionalGids: groups},
			Args:            o.Args,
			Env:             environment(o),
			Cwd:             o.Cwd,
			Capabilities:    c,
			NoNewPrivileges: o.NoNewPrivileges,
		},
		Mounts: defaultMounts(o),
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.CgroupNamespace},
			},
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
				"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
				"/sys/devices/virtual/powercap", "/sys/firmware",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	if o.Network != NetworkHost {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace})
		s.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"}
	}
	return s
}

func defaultMounts(o SpecOptions) []specs.Mount {
	pts := []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
	if o.Mapping.HasGID(5) { // tty, in every distribution
		pts = append(pts, "gid=5")
	}
	sys := specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}}
	if o.Network == NetworkHost && !initialUserNS(o.Mapping) {
		// sysfs shows a network namespace, and only who owns that may mount it.
		sys = specs.Mount{Destination: "/sys", Type: "bind", Source: "/sys", Options: []string{"rbind", "rnosuid", "rnoexec", "rnodev", "rro"}}
	}
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: pts},
		sys,
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
	}
}

// initialUserNS tells whether the namespace of the mapping is the host's first.
func initialUserNS(m userns.Mapping) bool {
	if !m.Privileged() {
		return false
	}
	here, err := userns.Current()
	return err == nil && here.Privileged()
}

// environment is Docker's: PATH, HOSTNAME and TERM as defaults below what is
// given, HOME where it isn't given.
func environment(o SpecOptions) []string {
	env := []string{"PATH=" + DefaultPath}
	if o.Hostname != "" {
		env = append(env, "HOSTNAME="+o.Hostname)
	}
	if o.Terminal {
		env = append(env, "TERM=xterm")
	}
	for _, e := range o.Env {
		env = setEnv(env, e)
	}
	name := "HOME="
	for _, e := range env {
		if strings.HasPrefix(e, name) {
			return env
		}
	}
	home := o.User.Home
	if home == "" {
		home = "/"
	}
	return append(env, name+home)
}

// setEnv replaces the variable of e in env or adds it.
func setEnv(env []string, e string) []string {
	name, _, _ := strings.Cut(e, "=")
	for i := range env {
		if n, _, _ := strings.Cut(env[i], "="); n == name {
			env[i] = e
			return env
		}
	}
	return append(env, e)
}

package runtime

import (
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// validate refuses what a configuration asks for and this runtime doesn't do, and
// what makes no sense. Annotations mean nothing to a runtime.
func validate(s *specs.Spec) error { return validateFor(s, false) }

// validateFor is validate for a container that is idle: it has no command.
func validateFor(s *specs.Spec, idle bool) error {
	if s == nil {
		return invalid("no configuration")
	}
	if !isVersionOne(s.Version) {
		return invalid("ociVersion %q: need 1.x.y", s.Version)
	}
	if s.Linux == nil {
		return invalid("linux is missing")
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"solaris", s.Solaris != nil},
		{"windows", s.Windows != nil},
		{"vm", s.VM != nil},
		{"zos", s.ZOS != nil},
		{"freebsd", s.FreeBSD != nil},
		{"linux.mountLabel on a host with SELinux", s.Linux.MountLabel != "" && haveSELinux()},
		{"linux.intelRdt", s.Linux.IntelRdt != nil},
	} {
		if f.set {
			return unsupported(f.name)
		}
	}
	if err := validateHooks(s.Hooks); err != nil {
		return err
	}
	if idle {
		return nil
	}
	return validateProcess(s.Process)
}

// isVersionOne tells whether a version is one of SemVer 2.0.0 whose major number is 1
// (config.md, "Specification version"). What a minor version adds is passed over if unknown.
func isVersionOne(v string) bool {
	if i := strings.IndexAny(v, "-+"); i >= 0 {
		v = v[:i] // what is before a release, and of which build
	}
	parts := strings.Split(v, ".")
	for _, p := range parts {
		if _, err := strconv.ParseUint(p, 10, 32); err != nil || len(p) > 1 && p[0] == '0' {
			return false
		}
	}
	return len(parts) == 3 && parts[0] == "1"
}

// haveSELinux tells whether the kernel has labels to give. Without, a label means nothing.
func haveSELinux() bool {
	_, err := os.Stat("/sys/fs/selinux/enforce")
	return err == nil
}

// validateSupervised refuses what [Run] leaves to others: hooks, which belong to a
// container that is created and started, and limits without a cgroup.
func validateSupervised(s *specs.Spec, o Options) error {
	switch {
	case s.Hooks != nil:
		return unsupported("hooks")
	case s.Linux.Resources != nil && o.Placed == nil:
		return unsupported("linux.resources")
	case s.Linux.CgroupsPath != "" && o.Placed == nil:
		return unsupported("linux.cgroupsPath")
	case len(s.Linux.NetDevices) > 0:
		return unsupported("linux.netDevices")
	}
	return nil
}

func validateProcess(p *specs.Process) error {
	if p == nil {
		return invalid("process is missing")
	}
	if len(p.Args) == 0 || p.Args[0] == "" {
		return invalid("process.args is empty")
	}
	if !strings.HasPrefix(p.Cwd, "/") {
		return invalid("process.cwd %q is not an absolute path", p.Cwd)
	}
	for _, a := range append(append([]string{p.Cwd}, p.Args...), p.Env...) {
		if strings.IndexByte(a, 0) >= 0 {
			return invalid("process has a NUL byte in %q", a)
		}
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"process.commandLine", p.CommandLine != ""},
		{"process.user.username", p.User.Username != ""},
		{"process.apparmorProfile", p.ApparmorProfile != ""},
		{"process.selinuxLabel", p.SelinuxLabel != ""},
	} {
		if f.set {
			return unsupported(f.name)
		}
	}
	_, _, err := planAffinity(p.ExecCPUAffinity)
	return err
}

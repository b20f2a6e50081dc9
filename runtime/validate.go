package runtime

import (
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// validate refuses what a configuration asks for and this runtime doesn't do, and
// what makes no sense. Annotations mean nothing to a runtime.
func validate(s *specs.Spec) error {
	if s == nil {
		return invalid("no configuration")
	}
	if major, _, _ := strings.Cut(s.Version, "."); major != "1" {
		return invalid("ociVersion %q: need 1.x", s.Version)
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
		{"linux.netDevices", len(s.Linux.NetDevices) > 0},
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
	return validateProcess(s.Process)
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
		{"process.execCPUAffinity", p.ExecCPUAffinity != nil},
	} {
		if f.set {
			return unsupported(f.name)
		}
	}
	return nil
}

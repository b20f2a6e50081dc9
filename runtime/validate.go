package runtime

import (
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
		{"hooks", s.Hooks != nil},
		{"solaris", s.Solaris != nil},
		{"windows", s.Windows != nil},
		{"vm", s.VM != nil},
		{"zos", s.ZOS != nil},
		{"freebsd", s.FreeBSD != nil},
		{"linux.resources", s.Linux.Resources != nil},
		{"linux.cgroupsPath", s.Linux.CgroupsPath != ""},
		{"linux.netDevices", len(s.Linux.NetDevices) > 0},
		{"linux.mountLabel", s.Linux.MountLabel != ""},
		{"linux.intelRdt", s.Linux.IntelRdt != nil},
		{"linux.memoryPolicy", s.Linux.MemoryPolicy != nil},
		{"linux.personality", s.Linux.Personality != nil},
		{"linux.timeOffsets", len(s.Linux.TimeOffsets) > 0},
	} {
		if f.set {
			return unsupported(f.name)
		}
	}
	return validateProcess(s.Process)
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
		{"process.scheduler", p.Scheduler != nil},
		{"process.ioPriority", p.IOPriority != nil},
		{"process.execCPUAffinity", p.ExecCPUAffinity != nil},
	} {
		if f.set {
			return unsupported(f.name)
		}
	}
	return nil
}

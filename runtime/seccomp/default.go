package seccomp

import (
	"fmt"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Default is Docker's default profile for a container of this configuration: what
// it allows depends on the bounding capabilities, the kernel and the machine.
func Default(s *specs.Spec) (*specs.LinuxSeccomp, error) {
	return checked(seccomp.GetDefaultProfile(withCaps(s)))
}

// Parse reads a profile file as `docker run --security-opt seccomp=FILE` takes
// it, for a container of this configuration. nil is a profile that asks for nothing.
func Parse(json []byte, s *specs.Spec) (*specs.LinuxSeccomp, error) {
	return checked(seccomp.LoadProfile(string(json), withCaps(s)))
}

func checked(p *specs.LinuxSeccomp, err error) (*specs.LinuxSeccomp, error) {
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return p, nil
}

// withCaps is s, if it says something of capabilities, or else one like it that
// has none, as the profile looks at them without asking.
func withCaps(s *specs.Spec) *specs.Spec {
	if s.Process != nil && s.Process.Capabilities != nil {
		return s
	}
	return &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}}
}

package oci

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/seccomp"
)

// Features are what this runtime knows (runtime-spec, features.md).
func Features() features.Features {
	yes, no := true, false
	modes, flags := runtime.MemoryPolicies()
	return features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions:  runtime.MountOptions(),
		Linux: &features.Linux{
			Namespaces:   runtime.Namespaces(),
			Capabilities: runtime.KnownCapabilities(),
			Cgroup:       &features.Cgroup{V1: &yes, V2: &yes, Systemd: &yes, SystemdUser: &yes, Rdma: &yes},
			Seccomp: &features.Seccomp{
				Enabled: &yes, Actions: seccomp.Actions(), Operators: seccomp.Operators(), Archs: seccomp.Archs(),
				KnownFlags: seccomp.Flags(), SupportedFlags: seccomp.Flags(),
			},
			Apparmor:        &features.Apparmor{Enabled: &no},
			Selinux:         &features.Selinux{Enabled: &no},
			IntelRdt:        &features.IntelRdt{Enabled: &no, Schemata: &no, Monitoring: &no},
			MemoryPolicy:    &features.MemoryPolicy{Modes: modes, Flags: flags},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
			NetDevices:      &features.NetDevices{Enabled: &yes},
		},
	}
}

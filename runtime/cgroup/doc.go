// Package cgroup gives a container a control group: limits from a runtime
// configuration, what it uses, and freezing it. cgroup v1, v2 and systemd are the
// library's business (opencontainers/cgroups); here is what a configuration means to it.
//
//	linux.cgroupsPath, linux.resources ──► New ──► Apply(pid) ── Set, Stats, Freeze ──► Destroy
//
//	Default, Usable: where it is made, and whether; Record, Open: how it is found again
//
// # Rules
//
//   - Without resources, who may not make groups has none, and that is no error: the
//     container is in the group of whoever started it (Group.None). With resources it is one.
//   - Devices that a configuration doesn't allow can't be used, but for those that every
//     container has (config-linux.md, "Default Devices").
package cgroup

package cgroup

import (
	"fmt"

	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// resources turns linux.resources into the library's, and tells whether they limit
// anything (runtime-spec, config-linux.md, "Control groups").
func resources(r *specs.LinuxResources, restrict bool) (*cgroups.Resources, bool, error) {
	out := &cgroups.Resources{SkipDevices: !restrict}
	if restrict {
		out.Devices = append(out.Devices, &devices.Rule{Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "rwm"})
		out.Devices[0].Allow = false
	}
	if r == nil {
		out.Devices = append(out.Devices, ownDevices(restrict)...)
		return out, false, nil
	}
	limits := false
	if restrict {
		for i, d := range r.Devices {
			rule, err := deviceRule(d)
			if err != nil {
				return nil, false, fmt.Errorf("linux.resources.devices[%d]: %w", i, err)
			}
			out.Devices = append(out.Devices, rule)
		}
		out.Devices = append(out.Devices, ownDevices(true)...)
	}
	if m := r.Memory; m != nil {
		limits = true
		set(&out.Memory, m.Limit)
		set(&out.MemoryReservation, m.Reservation)
		set(&out.MemorySwap, m.Swap)
		out.MemorySwappiness = m.Swappiness
		set(&out.OomKillDisable, m.DisableOOMKiller)
		set(&out.MemoryCheckBeforeUpdate, m.CheckBeforeUpdate)
	}
	if c := r.CPU; c != nil {
		limits = true
		set(&out.CpuShares, c.Shares)
		out.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(out.CpuShares)
		set(&out.CpuQuota, c.Quota)
		out.CpuBurst = c.Burst
		set(&out.CpuPeriod, c.Period)
		set(&out.CpuRtRuntime, c.RealtimeRuntime)
		set(&out.CpuRtPeriod, c.RealtimePeriod)
		out.CpusetCpus, out.CpusetMems, out.CPUIdle = c.Cpus, c.Mems, c.Idle
	}
	if p := r.Pids; p != nil && p.Limit != nil {
		limits = true
		limit := *p.Limit
		out.PidsLimit = &limit
	}
	if b := r.BlockIO; b != nil {
		limits = true
		blockIO(out, b)
	}
	for _, h := range r.HugepageLimits {
		limits = true
		out.HugetlbLimit = append(out.HugetlbLimit, &cgroups.HugepageLimit{Pagesize: h.Pagesize, Limit: h.Limit})
	}
	if len(r.Rdma) > 0 {
		limits = true
		out.Rdma = map[string]cgroups.LinuxRdma{}
		for name, l := range r.Rdma {
			out.Rdma[name] = cgroups.LinuxRdma{HcaHandles: l.HcaHandles, HcaObjects: l.HcaObjects}
		}
	}
	if n := r.Network; n != nil {
		limits = true
		set(&out.NetClsClassid, n.ClassID)
		for _, p := range n.Priorities {
			out.NetPrioIfpriomap = append(out.NetPrioIfpriomap, &cgroups.IfPrioMap{Interface: p.Name, Priority: int64(p.Priority)})
		}
	}
	if len(r.Unified) > 0 {
		limits = true
		out.Unified = r.Unified
	}
	return out, limits, nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func blockIO(out *cgroups.Resources, b *specs.LinuxBlockIO) {
	set(&out.BlkioWeight, b.Weight)
	set(&out.BlkioLeafWeight, b.LeafWeight)
	for _, d := range b.WeightDevice {
		var weight, leaf uint16
		set(&weight, d.Weight)
		set(&leaf, d.LeafWeight)
		out.BlkioWeightDevice = append(out.BlkioWeightDevice, cgroups.NewWeightDevice(d.Major, d.Minor, weight, leaf))
	}
	throttle := func(ds []specs.LinuxThrottleDevice) (all []*cgroups.ThrottleDevice) {
		for _, d := range ds {
			all = append(all, cgroups.NewThrottleDevice(d.Major, d.Minor, d.Rate))
		}
		return all
	}
	out.BlkioThrottleReadBpsDevice = throttle(b.ThrottleReadBpsDevice)
	out.BlkioThrottleWriteBpsDevice = throttle(b.ThrottleWriteBpsDevice)
	out.BlkioThrottleReadIOPSDevice = throttle(b.ThrottleReadIOPSDevice)
	out.BlkioThrottleWriteIOPSDevice = throttle(b.ThrottleWriteIOPSDevice)
}

func deviceRule(d specs.LinuxDeviceCgroup) (*devices.Rule, error) {
	r := &devices.Rule{Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: devices.Permissions(d.Access), Allow: d.Allow}
	switch d.Type {
	case "", "a":
		r.Permissions = "rwm"
	case "b":
		r.Type = devices.BlockDevice
	case "c", "u":
		r.Type = devices.CharDevice
	default:
		return nil, fmt.Errorf("type %q", d.Type)
	}
	if d.Major != nil {
		r.Major = *d.Major
	}
	if d.Minor != nil {
		r.Minor = *d.Minor
	}
	if !r.Permissions.IsValid() {
		return nil, fmt.Errorf("access %q", d.Access)
	}
	return r, nil
}

// ownDevices are those that every container may use: nodes of any kind may be made,
// and the default devices, its terminals and its console used.
func ownDevices(restrict bool) []*devices.Rule {
	if !restrict {
		return nil
	}
	rule := func(typ devices.Type, major, minor int64, access devices.Permissions) *devices.Rule {
		return &devices.Rule{Type: typ, Major: major, Minor: minor, Permissions: access, Allow: true}
	}
	all := []*devices.Rule{
		rule(devices.CharDevice, devices.Wildcard, devices.Wildcard, "m"),
		rule(devices.BlockDevice, devices.Wildcard, devices.Wildcard, "m"),
		rule(devices.CharDevice, 5, 0, "rwm"),                  // tty
		rule(devices.CharDevice, 5, 1, "rwm"),                  // console
		rule(devices.CharDevice, 5, 2, "rwm"),                  // ptmx
		rule(devices.CharDevice, 136, devices.Wildcard, "rwm"), // pts
	}
	for _, minor := range []int64{3, 5, 7, 8, 9} { // null, zero, full, random, urandom
		all = append(all, rule(devices.CharDevice, 1, minor, "rwm"))
	}
	return all
}

package main

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/cfs-project/cfs/imagecmd"
)

// limitFlags are the flags of run, create and update that limit what a container may use.
type limitFlags struct {
	pids int64
	swap int64 // swappiness
}

// register adds the flags that update has, too.
func (l *limitFlags) register(f *pflag.FlagSet, o *imagecmd.Limits) {
	registerLimits(f, o)
	f.Var(memoryFlag(&o.MemoryReservation, false), "memory-reservation", "`BYTES` of memory that it is pushed back to when the host is short of it")
	f.Var(&parsed[int64]{kind: "decimal", to: &o.NanoCPUs, parse: imagecmd.ParseCPUs}, "cpus", "at most the time of so many CPUs: a `NUMBER`, as 1.5")
	f.Int64Var(&l.pids, "pids-limit", 0, "at most so many processes and threads: a `NUMBER`, -1 for any")
	f.Uint16Var(&o.BlkioWeight, "blkio-weight", 0, "`WEIGHT` among others that use block devices, 10 to 1000")
}

// registerLimits adds those that build has, too.
func registerLimits(f *pflag.FlagSet, o *imagecmd.Limits) {
	f.VarP(memoryFlag(&o.Memory, false), "memory", "m", "at most so much memory: `BYTES`, as 64m")
	f.Var(memoryFlag(&o.MemorySwap, true), "memory-swap", "at most so much memory and swap together: `BYTES`, -1 for any (default: twice the memory)")
	f.Int64VarP(&o.CPUShares, "cpu-shares", "c", 0, "`WEIGHT` among others that want CPUs (others have 1024)")
	f.Int64Var(&o.CPUPeriod, "cpu-period", 0, "period of the CPU quota, in `MICROSECONDS`")
	f.Int64Var(&o.CPUQuota, "cpu-quota", 0, "at most so many `MICROSECONDS` of CPU in each period")
	f.StringVar(&o.CpusetCpus, "cpuset-cpus", "", "run on these `CPUS` only, as 0-2,4")
	f.StringVar(&o.CpusetMems, "cpuset-mems", "", "use memory of these `NODES` only, as 0,1")
}

// registerParent adds that which says where the control group is made.
func registerParent(f *pflag.FlagSet, o *imagecmd.GroupOptions) {
	f.StringVar(&o.CgroupParent, "cgroup-parent", "", "control group, or slice of systemd, to make the container's in: a `PARENT`")
}

// registerMore adds those that are fixed when a container is made.
func (l *limitFlags) registerMore(f *pflag.FlagSet, o *imagecmd.GroupOptions) {
	f.Int64Var(&l.swap, "memory-swappiness", -1, "how readily its memory is swapped out, `0 to 100` (cgroup v1; -1: as the host's)")
	f.BoolVar(&o.Limits.OOMKillDisable, "oom-kill-disable", false, "let processes wait when memory is used up, instead of killing one (cgroup v1)")
	list := func(to *[]imagecmd.DeviceRate, name, usage string, parse func(string) (imagecmd.DeviceRate, error)) {
		f.Var(&rateList{to, parse}, name, usage)
	}
	limits := &o.Limits
	list(&limits.WeightDevices, "blkio-weight-device", "weight for one block device: `DEVICE:WEIGHT`", imagecmd.ParseWeightDevice)
	list(&limits.ReadBps, "device-read-bps", "read at most so many bytes a second: `DEVICE:RATE`, as /dev/sda:1mb", imagecmd.ParseBps)
	list(&limits.WriteBps, "device-write-bps", "write at most so many bytes a second: `DEVICE:RATE`", imagecmd.ParseBps)
	list(&limits.ReadIOps, "device-read-iops", "read at most so many times a second: `DEVICE:RATE`", imagecmd.ParseIOps)
	list(&limits.WriteIOps, "device-write-iops", "write at most so many times a second: `DEVICE:RATE`", imagecmd.ParseIOps)
	f.StringArrayVar(&o.DeviceRules, "device-cgroup-rule", nil, "allow the use of devices: `'TYPE MAJOR:MINOR ACCESS'`, as 'c 10:* rw'")
	registerParent(f, o)
	f.StringVar(&o.CgroupNS, "cgroupns", "", "namespace of control groups: `private|host` (default private)")
}

// read takes in what the flags say.
func (l *limitFlags) read(f *pflag.FlagSet, o *imagecmd.GroupOptions) error {
	if f.Changed("pids-limit") {
		o.Limits.PidsLimit = &l.pids
	}
	if f.Changed("memory-swappiness") {
		o.Limits.MemorySwappiness = &l.swap
	}
	if o.CgroupNS != "" && o.CgroupNS != "private" && o.CgroupNS != "host" {
		return errors.New("--cgroupns: invalid CGROUP mode")
	}
	for _, r := range o.DeviceRules {
		if err := imagecmd.CheckDeviceRule(r); err != nil {
			return err
		}
	}
	return o.Limits.Check()
}

// A parsed is a flag whose value is read by a function.
type parsed[T any] struct {
	kind  string
	to    *T
	parse func(string) (T, error)
	given string
}

func (p *parsed[T]) Set(s string) (err error) {
	*p.to, err = p.parse(s)
	p.given = s
	return err
}

func (p *parsed[T]) Type() string { return p.kind }

func (p *parsed[T]) String() string { return p.given }

func memoryFlag(to *int64, unlimited bool) pflag.Value {
	return &parsed[int64]{kind: "bytes", to: to, parse: func(s string) (int64, error) { return imagecmd.ParseMemory(s, unlimited) }}
}

// A rateList is a flag that may be given for several devices.
type rateList struct {
	to    *[]imagecmd.DeviceRate
	parse func(string) (imagecmd.DeviceRate, error)
}

func (l *rateList) Set(s string) error {
	d, err := l.parse(s)
	if err == nil {
		*l.to = append(*l.to, d)
	}
	return err
}

func (l *rateList) Type() string { return "list" }

func (l *rateList) String() string { return "" }

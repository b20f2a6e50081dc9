package imagecmd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func ptr[T any](v T) *T { return &v }

func TestCheckLimits(t *testing.T) {
	for want, l := range map[string]Limits{
		"Minimum memory limit allowed is 6MB":                                      {Memory: 1 << 20},
		"You should always set the Memory limit when using Memoryswap limit":       {MemorySwap: 1 << 30},
		"Minimum memoryswap limit should be larger than memory limit":              {Memory: 1 << 30, MemorySwap: 1 << 29},
		"valid memory swap is -1 or more":                                          {Memory: 1 << 30, MemorySwap: -2},
		"valid memory swappiness range is 0-100":                                   {MemorySwappiness: ptr(int64(101))},
		"Minimum memory reservation allowed is 6MB":                                {MemoryReservation: 1},
		"Minimum memory limit can not be less than memory reservation limit":       {Memory: 1 << 24, MemoryReservation: 1 << 25},
		"Conflicting options: Nano CPUs and CPU Period cannot both be set.":        {NanoCPUs: 1e8, CPUPeriod: 5000},
		"Conflicting options: Nano CPUs and CPU Quota cannot both be set.":         {NanoCPUs: 1e8, CPUQuota: 5000},
		"Range of CPUs is from 0.01 to ":                                           {NanoCPUs: 1e15},
		"CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s":    {CPUPeriod: 999},
		"CPU cfs quota can not be less than 1ms (i.e. 1000)":                       {CPUQuota: 999},
		"invalid CPU shares (-1)":                                                  {CPUShares: -1},
		"Invalid value x for cpuset cpus":                                          {CpusetCpus: "x"},
		"Requested CPUs are not available - requested 8000, available: ":           {CpusetCpus: "8000"},
		"Requested memory nodes are not available - requested 0-8000, available: ": {CpusetMems: "0-8000"},
		"Range of blkio weight is from 10 to 1000":                                 {BlkioWeight: 9},
		"device /dev/null is not a block device":                                   {ReadBps: []DeviceRate{{"/dev/null", 1}}},
		"device /dev/nosuch: no such file or directory":                            {WeightDevices: []DeviceRate{{"/dev/nosuch", 100}}},
	} {
		if err := l.Check(); err == nil || !strings.HasPrefix(err.Error(), want) && !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", l, err, want)
		}
	}
	good := Limits{Memory: 1 << 26, MemorySwap: -1, MemoryReservation: 1 << 25, NanoCPUs: 1e7, CPUShares: 2, CpusetCpus: "0", CpusetMems: "0-0", PidsLimit: ptr(int64(-1)), BlkioWeight: 10}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
}

func TestLimitResources(t *testing.T) {
	l := Limits{Memory: 1 << 26, MemorySwap: 1 << 27, NanoCPUs: 15e8, CPUShares: 512, CpusetCpus: "0", PidsLimit: ptr(int64(7)), BlkioWeight: 300}
	want := &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: ptr(int64(1 << 26)), Swap: ptr(int64(1 << 27))},
		CPU:     &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(150000)), Period: ptr(uint64(100000)), Cpus: "0"},
		Pids:    &specs.LinuxPids{Limit: ptr(int64(7))},
		BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(300))},
	}
	if diff := cmp.Diff(want, l.resources()); diff != "" {
		t.Error(diff)
	}
	for _, l := range []Limits{{}, {PidsLimit: ptr(int64(0))}, {PidsLimit: ptr(int64(-1))}} {
		if !l.none() {
			t.Errorf("%+v limits something", l)
		}
	}
	for _, l := range []Limits{{Memory: 1}, {OOMKillDisable: true}, {CpusetMems: "0"}, {PidsLimit: ptr(int64(1))}, {ReadIOps: []DeviceRate{{"/dev/x", 1}}}} {
		if l.none() {
			t.Errorf("%+v limits nothing", l)
		}
	}
	if r := (Limits{PidsLimit: ptr(int64(0))}).resources(); *r.Pids.Limit != -1 {
		t.Error("0 is no limit of processes, which is -1")
	}
}

func TestChangeLimits(t *testing.T) {
	l := Limits{Memory: 1 << 26, MemorySwap: 1 << 27, NanoCPUs: 1e8}
	if err := l.change(Limits{Memory: 1 << 25, CPUShares: 5, CpusetCpus: "0", PidsLimit: ptr(int64(3)), BlkioWeight: 20}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Limits{Memory: 1 << 25, MemorySwap: 1 << 27, NanoCPUs: 1e8, CPUShares: 5, CpusetCpus: "0", PidsLimit: ptr(int64(3)), BlkioWeight: 20}, l); diff != "" {
		t.Error(diff)
	}
	for want, c := range map[string][2]Limits{
		"Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time": {l, {Memory: 1 << 28}},
		"Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set":                        {l, {CPUQuota: 5000}},
		"Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set":                       {l, {CPUPeriod: 5000}},
		"Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set":                       {{CPUQuota: 5000}, {NanoCPUs: 1}},
		"Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set":                      {{CPUPeriod: 5000}, {NanoCPUs: 1}},
	} {
		if err := c[0].change(c[1]); err == nil || err.Error() != want {
			t.Errorf("%+v: %v, want %s", c, err, want)
		}
	}
}

func TestParseLimits(t *testing.T) {
	for s, want := range map[string]int64{"1": 1e9, "0.5": 5e8, "1.25": 125e7, "1/4": 25e7, ".000000001": 1} {
		if got, err := ParseCPUs(s); got != want || err != nil {
			t.Errorf("%s CPUs: %d, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{"x": "failed to parse x as a rational number", "0.0000000001": "value is too precise", "1e99": "value is too precise"} {
		if _, err := ParseCPUs(s); err == nil || err.Error() != want {
			t.Errorf("%s CPUs: %v", s, err)
		}
	}
	if n, err := ParseMemory("-1", true); n != -1 || err != nil {
		t.Error(n, err)
	}
	if n, err := ParseMemory("-1", false); err == nil {
		t.Error(n)
	}
	if d, err := ParseBps("/dev/sda:1mb"); d != (DeviceRate{"/dev/sda", 1 << 20}) || err != nil {
		t.Error(d, err)
	}
	if d, err := ParseIOps("/dev/sda:9"); d != (DeviceRate{"/dev/sda", 9}) || err != nil {
		t.Error(d, err)
	}
	if d, err := ParseWeightDevice("/dev/sda:100"); d != (DeviceRate{"/dev/sda", 100}) || err != nil {
		t.Error(d, err)
	}
	for _, s := range []string{"", "/dev/sda", "sda:1", "/dev/sda:-1", "/dev/sda:x"} {
		for _, parse := range []func(string) (DeviceRate, error){ParseBps, ParseIOps, ParseWeightDevice} {
			if d, err := parse(s); err == nil {
				t.Errorf("%q: %+v", s, d)
			}
		}
	}
	for _, s := range []string{"c 10:* rw", "a *:* rwm", "b 8:0 r"} {
		if err := CheckDeviceRule(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "c 10:*", "x 1:1 r", "c 1 r", "c 1:1 x"} {
		if err := CheckDeviceRule(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

func TestDeviceRules(t *testing.T) {
	o := ContainerOptions{ShapeOptions: ShapeOptions{Devices: []DeviceOption{{"/dev/null", "/dev/n", "r"}}}, GroupOptions: GroupOptions{DeviceRules: []string{"c 10:* rw", "b *:3 m"}}}
	got, err := o.deviceRules()
	want := []specs.LinuxDeviceCgroup{
		{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(3)), Access: "r"},
		{Allow: true, Type: "c", Major: ptr(int64(10)), Access: "rw"},
		{Allow: true, Type: "b", Minor: ptr(int64(3)), Access: "m"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// Who makes device nodes of the host's devices could use them: no call that makes one gets
// through, and all that programs need do.
func TestConfineNodes(t *testing.T) {
	s := &specs.Spec{Linux: &specs.Linux{
		Devices: []specs.LinuxDevice{{Type: "b", Major: 7, Minor: 300}},
		Seccomp: &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"open", "mknod", "mknodat"}, Action: specs.ActAllow}, {Names: []string{"mknod"}, Action: specs.ActLog},
		}},
	}}
	confineNodes(s)
	allowed := func(name string, mode, dev uint64) bool {
		at := map[string]uint{"mknod": 1, "mknodat": 2}[name]
		args := map[uint]uint64{at: mode, at + 1: dev}
		for _, r := range s.Linux.Seccomp.Syscalls {
			if r.Action != specs.ActAllow || r.Names[0] != name {
				continue
			}
			holds := true
			for _, a := range r.Args {
				holds = holds && a.Op == specs.OpMaskedEqual && args[a.Index]&a.Value == a.ValueTwo
			}
			if holds {
				return true
			}
		}
		return false
	}
	for _, name := range []string{"mknod", "mknodat"} {
		for _, c := range []struct {
			mode, dev uint64
			want      bool
		}{
			{unix.S_IFREG | 0o644, 0, true}, {0o644, 99, true}, {unix.S_IFIFO, 0, true}, {unix.S_IFSOCK, 0, true},
			{unix.S_IFCHR | 0o666, unix.Mkdev(1, 3), true}, {unix.S_IFCHR, 0, true}, {unix.S_IFCHR, unix.Mkdev(5, 2), true},
			{unix.S_IFBLK, unix.Mkdev(7, 300), true}, {unix.S_IFCHR, unix.Mkdev(7, 300), false}, {unix.S_IFBLK, unix.Mkdev(8, 0), false},
			{unix.S_IFBLK, unix.Mkdev(1, 3), false}, {unix.S_IFCHR, unix.Mkdev(1, 1), false}, {unix.S_IFCHR | 1<<20, unix.Mkdev(1, 11), false},
		} {
			if got := allowed(name, c.mode, c.dev); got != c.want {
				t.Errorf("%s(%o, %x) is let through: %v", name, c.mode, c.dev, got)
			}
		}
	}
	if !allowed("mknod", unix.S_IFREG, 1<<40|1) || s.Linux.Seccomp.Syscalls[0].Names[0] != "open" {
		t.Errorf("%+v", s.Linux.Seccomp.Syscalls)
	}
}

func TestReachesDevices(t *testing.T) {
	for _, o := range []ContainerOptions{
		{Seccomp: Unconfined}, {ShapeOptions: ShapeOptions{CapAdd: []string{"sys_admin"}}}, {ShapeOptions: ShapeOptions{CapAdd: []string{"all"}}},
		{ShapeOptions: ShapeOptions{CapAdd: []string{"CAP_SYS_ADMIN"}}}, {ShapeOptions: ShapeOptions{Mounts: []MountOption{{Type: "bind", Source: "/dev"}}}},
		{ShapeOptions: ShapeOptions{Mounts: []MountOption{{Type: "bind", Source: "/"}}}}, {ShapeOptions: ShapeOptions{Mounts: []MountOption{{Type: "bind", Source: "/dev/sda"}}}},
	} {
		if !o.reachesDevices() {
			t.Errorf("%+v reaches none", o)
		}
	}
	if (ContainerOptions{ShapeOptions: ShapeOptions{CapAdd: []string{"NET_ADMIN"}, Mounts: []MountOption{{Type: "bind", Source: "/devices"}, {Type: "tmpfs"}}}}).reachesDevices() {
		t.Error("it reaches no devices")
	}
}

func FuzzParseSet(f *testing.F) {
	for _, s := range []string{"0", "0-3,5", "1-", "-1", "3-1", "0,0", "99999", "0-8191"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		set, err := parseSet(s)
		if (err == nil) != (len(set) > 0) || len(set) > maxSet {
			t.Errorf("%q: %d numbers, %v", s, len(set), err)
		}
		for n := range set {
			if n < 0 || n >= maxSet {
				t.Errorf("%q has %d", s, n)
			}
		}
	})
}

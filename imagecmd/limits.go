package imagecmd

import (
	"fmt"
	"math"
	goruntime "runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime/cgroup"
)

// Limits are what a container may use of the machine at most: what Docker calls
// resources. The zero value limits nothing. A control group holds it to them.
type Limits struct {
	Memory            int64        `json:"memory,omitempty"`            // bytes
	MemorySwap        int64        `json:"memorySwap,omitempty"`        // bytes of memory and swap together; -1: no limit; 0: twice Memory
	MemoryReservation int64        `json:"memoryReservation,omitempty"` // bytes that it is pushed back to when memory is short
	MemorySwappiness  *int64       `json:"memorySwappiness,omitempty"`  // 0 to 100; -1 is the host's
	OOMKillDisable    bool         `json:"oomKillDisable,omitempty"`    // processes wait for memory instead
	NanoCPUs          int64        `json:"nanoCPUs,omitempty"`          // 1e-9 of a CPU
	CPUShares         int64        `json:"cpuShares,omitempty"`         // relative weight; 1024 is what others have
	CPUPeriod         int64        `json:"cpuPeriod,omitempty"`         // microseconds
	CPUQuota          int64        `json:"cpuQuota,omitempty"`          // microseconds in a period
	CpusetCpus        string       `json:"cpusetCpus,omitempty"`        // a list such as 0-2,4
	CpusetMems        string       `json:"cpusetMems,omitempty"`
	PidsLimit         *int64       `json:"pidsLimit,omitempty"`   // processes and threads; 0 or less: no limit
	BlkioWeight       uint16       `json:"blkioWeight,omitempty"` // relative, 10 to 1000
	WeightDevices     []DeviceRate `json:"weightDevices,omitempty"`
	ReadBps           []DeviceRate `json:"readBps,omitempty"` // bytes a second
	WriteBps          []DeviceRate `json:"writeBps,omitempty"`
	ReadIOps          []DeviceRate `json:"readIOps,omitempty"` // operations a second
	WriteIOps         []DeviceRate `json:"writeIOps,omitempty"`
}

// GroupOptions are what a container needs a control group for, kept with it.
type GroupOptions struct {
	Limits       Limits   `json:"limits,omitzero"`
	CgroupParent string   `json:"cgroupParent,omitempty"` // group or slice to make the container's in
	CgroupNS     string   `json:"cgroupns,omitempty"`     // private or host; empty: private
	DeviceRules  []string `json:"deviceRules,omitempty"`  // TYPE MAJOR:MINOR ACCESS
}

// A DeviceRate is a limit or weight of one block device.
type DeviceRate struct {
	Path string
	Rate uint64
}

// minMemory is the least limit of memory, as Docker's.
const minMemory = 6 << 20

// defaultPeriod is the period of --cpus, in microseconds, as Docker's.
const defaultPeriod = 100_000

// filled has what follows from the rest: where swap is counted, the limit of memory and swap.
func (l Limits) filled() Limits {
	if l.Memory > 0 && l.MemorySwap == 0 && cgroup.SwapCounted() {
		l.MemorySwap = -1
		if l.Memory <= math.MaxInt64/2 {
			l.MemorySwap = 2 * l.Memory
		}
	}
	return l
}

// none tells that nothing is limited.
func (l Limits) none() bool {
	return l.memory() == nil && l.cpu() == nil && l.blockIO() == nil && (l.PidsLimit == nil || *l.PidsLimit <= 0)
}

// Check refuses what can't be, in Docker's words.
func (l Limits) Check() error {
	for _, check := range []func() error{l.checkMemory, l.checkCPU, l.checkCpusets, l.checkBlkio} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (l Limits) checkMemory() error {
	switch {
	case l.Memory < 0 || l.Memory != 0 && l.Memory < minMemory:
		return sentencef(nil, "Minimum memory limit allowed is 6MB")
	case l.MemorySwap < -1:
		return sentencef(nil, "Invalid value: %d, valid memory swap is -1 or more", l.MemorySwap)
	case l.Memory == 0 && l.MemorySwap > 0:
		return sentencef(nil, "You should always set the Memory limit when using Memoryswap limit, see usage")
	case l.Memory > 0 && l.MemorySwap > 0 && l.MemorySwap < l.Memory:
		return sentencef(nil, "Minimum memoryswap limit should be larger than memory limit, see usage")
	case l.MemorySwappiness != nil && (*l.MemorySwappiness < -1 || *l.MemorySwappiness > 100):
		return sentencef(nil, "Invalid value: %d, valid memory swappiness range is 0-100", *l.MemorySwappiness)
	case l.MemoryReservation < 0 || l.MemoryReservation != 0 && l.MemoryReservation < minMemory:
		return sentencef(nil, "Minimum memory reservation allowed is 6MB")
	case l.Memory > 0 && l.MemoryReservation > 0 && l.Memory < l.MemoryReservation:
		return sentencef(nil, "Minimum memory limit can not be less than memory reservation limit, see usage")
	}
	return nil
}

func (l Limits) checkCPU() error {
	cpus := goruntime.NumCPU()
	switch {
	case l.NanoCPUs > 0 && l.CPUPeriod != 0:
		return sentencef(nil, "Conflicting options: Nano CPUs and CPU Period cannot both be set.")
	case l.NanoCPUs > 0 && l.CPUQuota != 0:
		return sentencef(nil, "Conflicting options: Nano CPUs and CPU Quota cannot both be set.")
	case l.NanoCPUs < 0 || l.NanoCPUs > int64(cpus)*1e9:
		return sentencef(nil, "Range of CPUs is from 0.01 to %d.00, as there are only %d CPUs available", cpus, cpus)
	case l.CPUShares < 0:
		return sentencef(nil, "invalid CPU shares (%d): value must be a positive integer", l.CPUShares)
	case l.CPUPeriod != 0 && (l.CPUPeriod < 1000 || l.CPUPeriod > 1_000_000):
		return sentencef(nil, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
	case l.CPUQuota > 0 && l.CPUQuota < 1000:
		return sentencef(nil, "CPU cfs quota can not be less than 1ms (i.e. 1000)")
	}
	return nil
}

func (l Limits) checkCpusets() error {
	for _, set := range []struct{ value, file, name, things string }{
		{l.CpusetCpus, "/sys/devices/system/cpu/online", "cpuset cpus", "CPUs"},
		{l.CpusetMems, "/sys/devices/system/node/online", "cpuset mems", "memory nodes"},
	} {
		if set.value == "" {
			continue
		}
		asked, err := parseSet(set.value)
		if err != nil {
			return sentencef(nil, "Invalid value %s for %s", set.value, set.name)
		}
		online, text := onlineSet(set.file)
		for n := range asked {
			if !online[n] {
				return sentencef(nil, "Requested %s are not available - requested %s, available: %s", set.things, set.value, text)
			}
		}
	}
	return nil
}

func (l Limits) checkBlkio() error {
	if l.BlkioWeight != 0 && (l.BlkioWeight < 10 || l.BlkioWeight > 1000) {
		return sentencef(nil, "Range of blkio weight is from 10 to 1000")
	}
	for _, list := range [][]DeviceRate{l.WeightDevices, l.ReadBps, l.WriteBps, l.ReadIOps, l.WriteIOps} {
		for _, d := range list {
			if _, _, err := d.number(); err != nil {
				return err
			}
		}
	}
	return nil
}

// number is that of the device, in the kernel's terms.
func (d DeviceRate) number() (major, minor int64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(d.Path, &st); err != nil {
		return 0, 0, fmt.Errorf("device %s: %w", d.Path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, 0, fmt.Errorf("device %s is not a block device", d.Path)
	}
	return int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), nil
}

func (l Limits) resources() *specs.LinuxResources {
	r := &specs.LinuxResources{Memory: l.memory(), CPU: l.cpu(), BlockIO: l.blockIO()}
	if l.PidsLimit != nil {
		limit := *l.PidsLimit
		if limit <= 0 {
			limit = -1
		}
		r.Pids = &specs.LinuxPids{Limit: &limit}
	}
	return r
}

func (l Limits) memory() *specs.LinuxMemory {
	if l.Memory == 0 && l.MemoryReservation == 0 && l.MemorySwap == 0 && l.MemorySwappiness == nil && !l.OOMKillDisable {
		return nil
	}
	m := &specs.LinuxMemory{}
	if l.Memory != 0 {
		m.Limit = &l.Memory
	}
	if l.MemorySwap != 0 {
		m.Swap = &l.MemorySwap
	}
	if l.MemoryReservation != 0 {
		m.Reservation = &l.MemoryReservation
	}
	if l.MemorySwappiness != nil && *l.MemorySwappiness >= 0 {
		n := uint64(*l.MemorySwappiness)
		m.Swappiness = &n
	}
	if l.OOMKillDisable {
		m.DisableOOMKiller = &l.OOMKillDisable
	}
	return m
}

func (l Limits) cpu() *specs.LinuxCPU {
	if l.NanoCPUs > 0 {
		l.CPUPeriod, l.CPUQuota = defaultPeriod, l.NanoCPUs*defaultPeriod/1e9
	}
	if l.CPUShares == 0 && l.CPUPeriod == 0 && l.CPUQuota == 0 && l.CpusetCpus == "" && l.CpusetMems == "" {
		return nil
	}
	c := &specs.LinuxCPU{Cpus: l.CpusetCpus, Mems: l.CpusetMems}
	if l.CPUShares != 0 {
		n := uint64(l.CPUShares)
		c.Shares = &n
	}
	if l.CPUPeriod != 0 {
		n := uint64(l.CPUPeriod)
		c.Period = &n
	}
	if l.CPUQuota != 0 {
		c.Quota = &l.CPUQuota
	}
	return c
}

func (l Limits) blockIO() *specs.LinuxBlockIO {
	b := &specs.LinuxBlockIO{
		ThrottleReadBpsDevice: throttles(l.ReadBps), ThrottleWriteBpsDevice: throttles(l.WriteBps),
		ThrottleReadIOPSDevice: throttles(l.ReadIOps), ThrottleWriteIOPSDevice: throttles(l.WriteIOps),
	}
	if l.BlkioWeight != 0 {
		b.Weight = &l.BlkioWeight
	}
	for _, d := range l.WeightDevices {
		w := specs.LinuxWeightDevice{}
		w.Major, w.Minor, _ = d.number() // checked
		weight := uint16(d.Rate)
		w.Weight = &weight
		b.WeightDevice = append(b.WeightDevice, w)
	}
	if b.Weight == nil && b.WeightDevice == nil && b.ThrottleReadBpsDevice == nil && b.ThrottleWriteBpsDevice == nil &&
		b.ThrottleReadIOPSDevice == nil && b.ThrottleWriteIOPSDevice == nil {
		return nil
	}
	return b
}

func throttles(list []DeviceRate) (out []specs.LinuxThrottleDevice) {
	for _, d := range list {
		t := specs.LinuxThrottleDevice{Rate: d.Rate}
		t.Major, t.Minor, _ = d.number() // checked
		out = append(out, t)
	}
	return out
}

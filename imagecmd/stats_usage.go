package imagecmd

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/cgroups"

	"github.com/cfs-project/cfs/runtime"
)

// resourceUse is what a container uses, and has used since it was started.
type resourceUse struct {
	At       time.Time
	CPU      time.Duration
	Memory   uint64 // bytes, without what the kernel keeps of files that it could give up
	Limit    uint64 // bytes; the machine's memory where there is none
	Received uint64 // bytes
	Sent     uint64
	Read     uint64 // bytes, of block devices
	Written  uint64
	Pids     int // processes and threads
}

// usage asks the container's control group, or, where it has none, its processes.
func (ct *controller) usage() (*resourceUse, error) {
	pid, _, err := ct.running()
	if err != nil {
		return nil, err
	}
	ct.mu.Lock()
	group, late, outside := ct.group, ct.late, ct.outside
	ct.mu.Unlock()
	u := &resourceUse{At: time.Now(), Limit: machineMemory()}
	net := runtime.NetworkOf(pid)
	u.Received, u.Sent = net.Received, net.Sent
	counted := false
	if group != nil {
		if s, err := group.Stats(); err == nil {
			u.ofGroup(s)
			counted = true
		}
	}
	if !counted || late { // what it had before is in no account of the group
		p, err := runtime.UsageOf(pid)
		if err != nil {
			return nil, err
		}
		u.CPU, u.Memory, u.Pids, u.Read, u.Written = p.CPU, p.Memory, p.Threads, p.Read, p.Written
	}
	switch { // cfs's own init counts as one
	case ct.init && outside && !late:
		u.Pids++
	case ct.init:
		u.Pids -= max(runtime.Threads(pid)-1, 0)
	}
	return u, nil
}

// ofGroup takes in what a control group has counted.
func (u *resourceUse) ofGroup(s *cgroups.Stats) {
	u.CPU = time.Duration(s.CpuStats.CpuUsage.TotalUsage)
	m := s.MemoryStats
	u.Memory = m.Usage.Usage
	idle, ok := m.Stats["total_inactive_file"] // v1, of those below, too
	if !ok {
		idle = m.Stats["inactive_file"]
	}
	if idle < u.Memory {
		u.Memory -= idle
	}
	if m.Usage.Limit > 0 && m.Usage.Limit < u.Limit {
		u.Limit = m.Usage.Limit
	}
	u.Pids = int(s.PidsStats.Current)
	for _, e := range s.BlkioStats.IoServiceBytesRecursive {
		switch strings.ToLower(e.Op) {
		case "read":
			u.Read += e.Value
		case "write":
			u.Written += e.Value
		}
	}
}

// machineMemory is that of proc_meminfo(5), in bytes.
func machineMemory() uint64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if size, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			n, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(size), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

package runtime

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// A Usage is what a container's processes use, as /proc tells it.
type Usage struct {
	CPU      time.Duration // of those that live and those that they have waited for
	Memory   uint64        // bytes; what is shared with others counts in proportion
	Read     uint64        // bytes read from block devices, and
	Written  uint64        // written to them
	Received uint64        // bytes, by all interfaces but lo; 0 on a network of others, and
	Sent     uint64        // likewise
	Threads  int
}

// clockTicks is the unit of times in /proc, in ticks a second: USER_HZ, which is the same
// on every architecture that Go has.
const clockTicks = 100

// UsageOf is what the processes of the container use whose PID 1 has this process id.
func UsageOf(pid int) (Usage, error) {
	all, err := containerOf(pid)
	if err != nil {
		return Usage{}, fmt.Errorf("look at processes: %w", err)
	}
	var u Usage
	for _, p := range all {
		u.addStat(p.pid) // one that has just ended uses nothing
		u.addMemory(p.pid)
		u.addIO(p.pid)
	}
	return u, nil
}

// Threads is how many a process has; 0 if it is gone.
func Threads(pid int) int {
	f, err := statFields(pid)
	if err != nil || len(f) < 20 {
		return 0
	}
	return int(number(f[17]))
}

// NetworkOf is what was received and sent in the network of a process, if that isn't the
// caller's own.
func NetworkOf(pid int) (u Usage) {
	if sameNamespace(procDir(pid)+"ns/net", "/proc/self/ns/net") {
		return u
	}
	b, err := os.ReadFile(procDir(pid) + "net/dev")
	if err != nil {
		return u
	}
	for line := range strings.Lines(string(b)) {
		name, counts, ok := strings.Cut(line, ":")
		f := strings.Fields(counts)
		if !ok || strings.TrimSpace(name) == "lo" || len(f) < 9 {
			continue
		}
		u.Received += number(f[0])
		u.Sent += number(f[8])
	}
	return u
}

// addStat reads proc_pid_stat(5).
func (u *Usage) addStat(pid int) {
	f, err := statFields(pid)
	if err != nil || len(f) < 20 {
		return
	}
	ticks := uint64(0)
	for _, s := range f[11:15] { // utime, stime, cutime, cstime
		ticks += number(s)
	}
	u.CPU += time.Duration(ticks) * time.Second / clockTicks
	u.Threads += int(number(f[17]))
}

// addMemory reads proc_pid_smaps(5), or, where it may not, proc_pid_statm(5).
func (u *Usage) addMemory(pid int) {
	if b, err := os.ReadFile(procDir(pid) + "smaps_rollup"); err == nil {
		for line := range strings.Lines(string(b)) {
			if size, ok := strings.CutPrefix(line, "Pss:"); ok {
				u.Memory += number(strings.TrimSuffix(strings.TrimSpace(size), " kB")) << 10
				return
			}
		}
	}
	if b, err := os.ReadFile(procDir(pid) + "statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			u.Memory += number(f[1]) * uint64(os.Getpagesize())
		}
	}
}

// addIO reads proc_pid_io(5).
func (u *Usage) addIO(pid int) {
	b, err := os.ReadFile(procDir(pid) + "io")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(b)) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ": "); name {
		case "read_bytes":
			u.Read += number(value)
		case "write_bytes":
			u.Written += number(value)
		}
	}
}

// number is one that the kernel has written.
func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

// statFields are the fields of proc_pid_stat(5) from the third, the state, on. The name
// before it, in parentheses, may hold anything.
func statFields(pid int) ([]string, error) {
	b, err := os.ReadFile(procDir(pid) + "stat")
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])), nil
}

package bench

import (
	"fmt"
	"os"
	"strings"
)

// ServerCalls is how many read and write system calls a process has made
// (/proc/PID/io, syscr and syscw: proc_pid_io(5)). A FUSE server takes every
// request with one and answers it with another, so a difference of 0 means that
// the kernel asked nothing; no server's own counters are needed or trusted.
func ServerCalls(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, err
	}
	var sum, n int64
	for line := range strings.Lines(string(b)) {
		var v int64
		if _, err := fmt.Sscanf(line, "syscr: %d", &v); err == nil {
			sum, n = sum+v, n+1
		} else if _, err := fmt.Sscanf(line, "syscw: %d", &v); err == nil {
			sum, n = sum+v, n+1
		}
	}
	if n != 2 {
		return 0, fmt.Errorf("/proc/%d/io tells no syscr and syscw", pid)
	}
	return sum, nil
}

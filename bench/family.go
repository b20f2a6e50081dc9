package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// FamilyKiB is what a process and all that descend from it hold in memory, in KiB, of what is
// shared a proportion: Pss of proc_pid_smaps(5).
func FamilyKiB(pid int) (int64, error) {
	sum, err := pssKiB(pid)
	if err != nil {
		return 0, err
	}
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		child, err := strconv.Atoi(filepath.Base(e))
		if err != nil {
			continue
		}
		if parent, err := Parent(child); err != nil || parent != pid {
			continue // another's, or it has ended
		}
		n, err := FamilyKiB(child)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// Parent is the process id of a process's parent.
func Parent(pid int) (int, error) {
	n, err := procNumber(pid, "status", "PPid: %d")
	return int(n), err
}

func pssKiB(pid int) (int64, error) { return procNumber(pid, "smaps_rollup", "Pss: %d kB") }

// procNumber is a number from the line of that form, of a process's file in /proc.
func procNumber(pid int, file, form string) (int64, error) {
	path := fmt.Sprintf("/proc/%d/%s", pid, file)
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var n int64
		if _, err := fmt.Sscanf(line, form, &n); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%s has no line %q", path, form)
}

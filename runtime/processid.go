package runtime

import (
	"fmt"
	"strconv"
)

// A ProcessID names one process for ever: process ids are used again, but not with the same
// time of start.
type ProcessID struct {
	PID int `json:"pid"`
	// Start is when the process was started, in clock ticks since the machine was
	// (proc_pid_stat(5)).
	Start uint64 `json:"start"`
}

// IdentifyProcess looks a process up, as the caller sees it. One that has ended and is
// not reaped yet is none.
func IdentifyProcess(pid int) (ProcessID, error) {
	f, err := statFields(pid)
	if err != nil {
		return ProcessID{}, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	if len(f) < 20 {
		return ProcessID{}, fmt.Errorf("process %d: its stat can't be read", pid)
	}
	if f[0] == "Z" || f[0] == "X" {
		return ProcessID{}, fmt.Errorf("process %d: %w", pid, ErrNotRunning)
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	if err != nil {
		return ProcessID{}, fmt.Errorf("process %d: its stat can't be read: %w", pid, err)
	}
	return ProcessID{PID: pid, Start: start}, nil
}

// Alive tells whether that process runs.
func (p ProcessID) Alive() bool {
	now, err := IdentifyProcess(p.PID)
	return err == nil && now == p
}

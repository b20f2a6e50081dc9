package runtime

import (
	"fmt"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxCPUs is how many processors a kernel may be built for (arch/x86/Kconfig, NR_CPUS).
const maxCPUs = 8192

// planAffinity reads process.execCPUAffinity as masks of processors (runtime-spec, config.md,
// "Linux Process"): initial is where the process begins, before it is in the container's
// cgroup, final where the command runs. nil leaves it to the kernel.
func planAffinity(a *specs.CPUAffinity) (initial, final []uint64, err error) {
	if a == nil {
		return nil, nil, nil
	}
	var ok bool
	if initial, ok = parseNumbers(a.Initial, maxCPUs); !ok {
		return nil, nil, invalid("process.execCPUAffinity.initial %q", a.Initial)
	}
	if final, ok = parseNumbers(a.Final, maxCPUs); !ok {
		return nil, nil, invalid("process.execCPUAffinity.final %q", a.Final)
	}
	return initial, final, nil
}

// setAffinity keeps the calling thread, and what it starts, to some processors; nil does nothing.
func setAffinity(cpus []uint64) error {
	if len(cpus) == 0 {
		return nil
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, 0, uintptr(8*len(cpus)), uintptr(unsafe.Pointer(&cpus[0]))); e != 0 {
		return fmt.Errorf("process.execCPUAffinity: %w", e)
	}
	return nil
}

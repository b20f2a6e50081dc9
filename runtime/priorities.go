package runtime

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A prioritiesConfig is how the kernel is to schedule the command, and as what kernel it
// is to appear to it.
type prioritiesConfig struct {
	Scheduler   *unix.SchedAttr
	IOPriority  *int // as ioprio_set(2) has it
	Personality *int // as personality(2) has it
	Memory      *memoryPolicyConfig
	CPUs        []uint64 // as sched_setaffinity(2) has them; nil: all that its cgroup has
}

var schedulerPolicies = map[specs.LinuxSchedulerPolicy]uint32{
	specs.SchedOther: unix.SCHED_NORMAL, specs.SchedFIFO: unix.SCHED_FIFO, specs.SchedRR: unix.SCHED_RR,
	specs.SchedBatch: unix.SCHED_BATCH, specs.SchedIdle: unix.SCHED_IDLE, specs.SchedDeadline: unix.SCHED_DEADLINE,
}

var schedulerFlags = map[specs.LinuxSchedulerFlag]uint64{
	specs.SchedFlagResetOnFork: unix.SCHED_FLAG_RESET_ON_FORK, specs.SchedFlagReclaim: unix.SCHED_FLAG_RECLAIM,
	specs.SchedFlagDLOverrun: unix.SCHED_FLAG_DL_OVERRUN, specs.SchedFlagKeepPolicy: unix.SCHED_FLAG_KEEP_POLICY,
	specs.SchedFlagKeepParams: unix.SCHED_FLAG_KEEP_PARAMS, specs.SchedFlagUtilClampMin: unix.SCHED_FLAG_UTIL_CLAMP_MIN,
	specs.SchedFlagUtilClampMax: unix.SCHED_FLAG_UTIL_CLAMP_MAX,
}

var ioClasses = map[specs.IOPriorityClass]int{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3}

// Of linux/ioprio.h and linux/personality.h.
const (
	ioprioWhoProcess = 1
	ioprioClassShift = 13
	perLinux32       = 0x0008
)

func planPriorities(spec *specs.Spec) (prioritiesConfig, error) {
	var c prioritiesConfig
	if s := spec.Process.Scheduler; s != nil {
		policy, ok := schedulerPolicies[s.Policy]
		if !ok {
			return c, invalid("process.scheduler.policy %q", s.Policy)
		}
		a := &unix.SchedAttr{
			Size: unix.SizeofSchedAttr, Policy: policy, Nice: s.Nice, Priority: uint32(s.Priority),
			Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
		}
		for _, name := range s.Flags {
			f, ok := schedulerFlags[name]
			if !ok {
				return c, invalid("process.scheduler.flags %q", name)
			}
			a.Flags |= f
		}
		c.Scheduler = a
	}
	if p := spec.Process.IOPriority; p != nil {
		class, ok := ioClasses[p.Class]
		if !ok || p.Priority < 0 || p.Priority > 7 {
			return c, invalid("process.ioPriority %q, %d", p.Class, p.Priority)
		}
		v := class<<ioprioClassShift | p.Priority
		c.IOPriority = &v
	}
	if p := spec.Linux.Personality; p != nil {
		if len(p.Flags) > 0 {
			return c, invalid("linux.personality.flags %q", p.Flags[0])
		}
		domain := map[specs.LinuxPersonalityDomain]int{specs.PerLinux: 0, specs.PerLinux32: perLinux32}
		v, ok := domain[p.Domain]
		if !ok {
			return c, invalid("linux.personality.domain %q", p.Domain)
		}
		c.Personality = &v
	}
	var err error
	c.Memory, err = planMemoryPolicy(spec.Linux.MemoryPolicy)
	return c, err
}

// set gives the priorities to the calling thread, which executes the command.
func (c prioritiesConfig) set() error {
	if c.Scheduler != nil {
		if err := unix.SchedSetAttr(0, c.Scheduler, 0); err != nil {
			return fmt.Errorf("process.scheduler: %w", err)
		}
	}
	if c.IOPriority != nil {
		if _, _, e := unix.RawSyscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, uintptr(*c.IOPriority)); e != 0 {
			return fmt.Errorf("process.ioPriority: %w", e)
		}
	}
	if c.Personality != nil {
		if _, _, e := unix.RawSyscall(unix.SYS_PERSONALITY, uintptr(*c.Personality), 0, 0); e != 0 {
			return fmt.Errorf("linux.personality: %w", e)
		}
	}
	if err := setAffinity(c.CPUs); err != nil {
		return err
	}
	return c.Memory.set()
}

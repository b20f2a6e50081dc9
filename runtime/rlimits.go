package runtime

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// rlimitNumbers are the names of the specification ("process.rlimits").
var rlimitNumbers = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU,
	"RLIMIT_DATA": unix.RLIMIT_DATA, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS,
	"RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE,
	"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS,
	"RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
	"RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

type rlimitConfig struct {
	Name      string
	Soft, Max uint64
}

func planRlimits(ls []specs.POSIXRlimit) ([]rlimitConfig, error) {
	var cs []rlimitConfig
	seen := map[string]bool{}
	for _, l := range ls {
		if _, ok := rlimitNumbers[l.Type]; !ok {
			return nil, invalid("process.rlimits: unknown type %q", l.Type)
		}
		if seen[l.Type] {
			return nil, invalid("process.rlimits has %s twice", l.Type)
		}
		seen[l.Type] = true
		if l.Soft > l.Hard {
			return nil, invalid("process.rlimits %s: soft limit %d above hard limit %d", l.Type, l.Soft, l.Hard)
		}
		cs = append(cs, rlimitConfig{l.Type, l.Soft, l.Hard})
	}
	return cs, nil
}

// setRlimits sets init's own limits, which the command inherits.
func setRlimits(ls []rlimitConfig) error {
	for _, l := range ls {
		n := rlimitNumbers[l.Name]
		err := unix.Prlimit(0, n, &unix.Rlimit{Cur: l.Soft, Max: l.Max}, nil)
		if errors.Is(err, unix.EPERM) {
			var have unix.Rlimit
			if e := unix.Prlimit(0, n, nil, &have); e == nil && l.Max > have.Max {
				return fmt.Errorf("set %s to %d: more than the hard limit %d of the caller, and raising it needs CAP_SYS_RESOURCE on the host: %w", l.Name, l.Max, have.Max, err)
			}
		}
		if err != nil {
			return fmt.Errorf("set %s to %d:%d: %w", l.Name, l.Soft, l.Max, err)
		}
	}
	return nil
}

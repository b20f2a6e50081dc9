package runtime

import (
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// SetUser makes a process one of another user, with the capabilities that the user
// has by Docker's rules: root all of the bounding set, everybody else none.
func SetUser(p *specs.Process, u User) {
	p.User.UID, p.User.GID, p.User.AdditionalGids = u.UID, u.GID, u.Groups
	if p.Capabilities != nil {
		c := specs.LinuxCapabilities{Bounding: p.Capabilities.Bounding}
		if u.UID == 0 {
			c.Effective, c.Permitted = c.Bounding, c.Bounding
		}
		p.Capabilities = &c
	}
	p.Env = SetEnv(p.Env, "HOME="+u.Home)
}

// Capabilities are Docker's default ones with some added and others dropped, by name, with
// or without CAP_, or ALL: what is added alone survives dropping ALL.
func Capabilities(add, drop []string) ([]string, error) {
	named := func(names []string) (mask uint64, all bool, err error) {
		for _, n := range names {
			n = strings.ToUpper(n)
			if n == "ALL" {
				all = true
				continue
			}
			bit, ok := capBit(n)
			if !ok {
				return 0, false, fmt.Errorf("unknown capability: %q", n)
			}
			mask |= bit
		}
		return mask, all, nil
	}
	added, addAll, err := named(add)
	if err != nil {
		return nil, err
	}
	dropped, dropAll, err := named(drop)
	if err != nil {
		return nil, err
	}
	var mask uint64
	switch {
	case addAll:
		mask = 1<<len(capNames) - 1
	case !dropAll:
		for _, n := range defaultCaps {
			bit, _ := capBit(n)
			mask |= bit
		}
	}
	mask = mask&^dropped | added
	if addAll {
		mask &^= dropped
	}
	return strings.Fields(capString(mask)), nil
}

// AllCapabilities gives a process every capability that this runtime knows.
func AllCapabilities(p *specs.Process) {
	all := KnownCapabilities()
	p.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
}

// SetEnv replaces a variable, "NAME=value", in an environment, or adds it.
func SetEnv(env []string, variable string) []string { return setEnv(env, variable) }

// Processes are the ids, as the caller has them, of the processes of the container whose
// PID 1 has this one, parents first.
func Processes(pid int) ([]int, error) {
	all, err := containerOf(pid)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	out := make([]int, len(all))
	for i, p := range all {
		out[i] = p.pid
	}
	return out, nil
}

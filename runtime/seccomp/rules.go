package seccomp

import (
	"errors"
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ErrInvalid is wrapped by errors about what a profile says.
var ErrInvalid = errors.New("invalid seccomp profile")

func invalid(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, a...))
}

// profile is a specs.LinuxSeccomp, checked.
type profile struct {
	def        uint32 // the answer to what no rule is about
	refuses    bool   // def does not let a call through
	archs      []specs.Arch
	rules      []rule
	named      int // how many rows the rules have
	flags      uint
	notifies   bool
	unknownNew uint32 // the answer to calls newer than the profile; only if refuses
}

// A rule is what to answer some calls.
type rule struct {
	rows   []row
	answer uint32
	when   []condition // none: always
}

// Answers of a filter, as seccomp(2) defines them: an action above 16 bits of data.
const (
	retKillProcess = 0x80000000
	retKillThread  = 0x00000000
	retTrap        = 0x00030000
	retErrno       = 0x00050000
	retNotify      = 0x7fc00000
	retTrace       = 0x7ff00000
	retLog         = 0x7ffc0000
	retAllow       = 0x7fff0000

	maxErrno = 4095
)

// answerOf is the answer for an action. Without an error number it is EPERM
// (runtime-spec, config-linux.md, "Seccomp").
func answerOf(a specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	if ret, ok := plain(a); ok {
		if errno != nil {
			return 0, invalid("the action %s takes no errnoRet", a)
		}
		return ret, nil
	}
	data := uint(unix.EPERM)
	if errno != nil {
		data = *errno
	}
	switch a {
	case specs.ActErrno:
		if data > maxErrno {
			return 0, invalid("errnoRet %d is more than %d", data, maxErrno)
		}
		return retErrno | uint32(data), nil
	case specs.ActTrace:
		if data > 0xffff {
			return 0, invalid("errnoRet %d is more than %d", data, 0xffff)
		}
		return retTrace | uint32(data), nil
	}
	return 0, invalid("unknown action %q", a)
}

// plain is the answer for an action without data.
func plain(a specs.LinuxSeccompAction) (uint32, bool) {
	switch a {
	case specs.ActKill, specs.ActKillThread:
		return retKillThread, true
	case specs.ActKillProcess:
		return retKillProcess, true
	case specs.ActTrap:
		return retTrap, true
	case specs.ActAllow:
		return retAllow, true
	case specs.ActLog:
		return retLog, true
	case specs.ActNotify:
		return retNotify, true
	}
	return 0, false
}

// check reads a profile.
func check(s *specs.LinuxSeccomp) (p profile, err error) {
	if p.def, err = answerOf(s.DefaultAction, s.DefaultErrnoRet); err != nil {
		return p, err
	}
	if p.def == retNotify {
		return p, invalid("%s can't be the default action: whoever should be notified could not be told", specs.ActNotify)
	}
	p.refuses = p.def != retAllow && p.def != retLog && p.def&^0xffff != retTrace
	p.unknownNew = retErrno | uint32(unix.ENOSYS)
	for _, a := range s.Architectures {
		if !known(a) {
			return p, invalid("unknown architecture %q", a)
		}
	}
	p.archs = s.Architectures
	if p.flags, err = flagsOf(s.Flags); err != nil {
		return p, err
	}
	for _, c := range s.Syscalls {
		if err := p.add(c); err != nil {
			return p, err
		}
	}
	if s.ListenerPath != "" && !p.notifies {
		return p, invalid("a listenerPath, but no rule notifies")
	}
	if p.notifies && s.ListenerPath == "" {
		return p, invalid("rules that notify, but no listenerPath")
	}
	if s.ListenerMetadata != "" && s.ListenerPath == "" {
		return p, invalid("listenerMetadata, but no listenerPath")
	}
	return p, nil
}

func (p *profile) add(c specs.LinuxSyscall) error {
	answer, err := answerOf(c.Action, c.ErrnoRet)
	if err != nil {
		return err
	}
	if len(c.Names) == 0 {
		return invalid("a rule without names")
	}
	if answer == retNotify {
		p.notifies = true
		// The descriptor of the listener is reported with it.
		if slices.Contains(c.Names, "write") {
			return invalid("%s can't be the action of write", specs.ActNotify)
		}
	}
	if answer == p.def {
		return nil
	}
	rows := make([]row, 0, len(c.Names))
	for _, name := range c.Names {
		if r, ok := rowOf(name); ok {
			rows = append(rows, r)
		}
	}
	when := make([]condition, 0, len(c.Args))
	used := map[uint]bool{}
	apart := false
	for _, a := range c.Args {
		w, err := conditionOf(a)
		if err != nil {
			return err
		}
		when = append(when, w)
		apart = apart || used[a.Index]
		used[a.Index] = true
	}
	if !apart {
		p.rules = append(p.rules, rule{rows, answer, when})
		p.named += len(rows)
		return nil
	}
	for i := range when {
		p.rules = append(p.rules, rule{rows, answer, when[i : i+1]})
		p.named += len(rows)
	}
	return nil
}

func flagsOf(flags []specs.LinuxSeccompFlag) (uint, error) {
	var out uint
	for _, f := range flags {
		switch f {
		case "SECCOMP_FILTER_FLAG_TSYNC":
			// Init has one thread that matters, the one that executes the command.
		case specs.LinuxSeccompFlagLog:
			out |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			out |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		case specs.LinuxSeccompFlagWaitKillableRecv:
			out |= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
		default:
			return 0, invalid("unknown flag %q", f)
		}
	}
	return out, nil
}

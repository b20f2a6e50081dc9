package seccomp

import specs "github.com/opencontainers/runtime-spec/specs-go"

// Actions are the known actions. They, Operators, Archs and Flags are what a runtime's
// features list (runtime-spec, features-linux.md).
func Actions() []string {
	return []string{
		string(specs.ActKill), string(specs.ActKillProcess), string(specs.ActKillThread), string(specs.ActTrap),
		string(specs.ActErrno), string(specs.ActTrace), string(specs.ActAllow), string(specs.ActLog), string(specs.ActNotify),
	}
}

// Operators are the known comparisons of arguments.
func Operators() []string {
	return []string{
		string(specs.OpNotEqual), string(specs.OpLessThan), string(specs.OpLessEqual), string(specs.OpEqualTo),
		string(specs.OpGreaterEqual), string(specs.OpGreaterThan), string(specs.OpMaskedEqual),
	}
}

// Archs are the architectures whose calls this machine does.
func Archs() (names []string) {
	for _, n := range here() {
		names = append(names, string(n.name))
	}
	return names
}

// Flags are the known flags of filters.
func Flags() []string {
	return []string{
		"SECCOMP_FILTER_FLAG_TSYNC", string(specs.LinuxSeccompFlagLog), string(specs.LinuxSeccompFlagSpecAllow),
		string(specs.LinuxSeccompFlagWaitKillableRecv),
	}
}

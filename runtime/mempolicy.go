package runtime

import (
	"fmt"
	"maps"
	"slices"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A memoryPolicyConfig says from which memory nodes the command gets its memory, as
// set_mempolicy(2) has it.
type memoryPolicyConfig struct {
	Mode  int
	Nodes []uint64 // a mask; empty: none
}

// Of linux/mempolicy.h.
var (
	memoryModes = map[specs.MemoryPolicyModeType]int{
		specs.MpolDefault: 0, specs.MpolPreferred: 1, specs.MpolBind: 2, specs.MpolInterleave: 3, specs.MpolLocal: 4,
		specs.MpolPreferredMany: 5, specs.MpolWeightedInterleave: 6,
	}
	memoryFlags = map[specs.MemoryPolicyFlagType]int{
		specs.MpolFStaticNodes: 1 << 15, specs.MpolFRelativeNodes: 1 << 14, specs.MpolFNumaBalancing: 1 << 13,
	}
)

// maxNodes is how many memory nodes a kernel may be built for (mm/Kconfig, NODES_SHIFT).
const maxNodes = 1024

// planMemoryPolicy reads linux.memoryPolicy (runtime-spec, config-linux.md, "Memory policy").
func planMemoryPolicy(p *specs.LinuxMemoryPolicy) (*memoryPolicyConfig, error) {
	if p == nil {
		return nil, nil
	}
	mode, ok := memoryModes[p.Mode]
	if !ok {
		return nil, invalid("linux.memoryPolicy.mode %q", p.Mode)
	}
	for _, name := range p.Flags {
		f, ok := memoryFlags[name]
		if !ok {
			return nil, invalid("linux.memoryPolicy.flags %q", name)
		}
		mode |= f
	}
	nodes, ok := parseNumbers(p.Nodes, maxNodes)
	if !ok {
		return nil, invalid("linux.memoryPolicy.nodes %q", p.Nodes)
	}
	return &memoryPolicyConfig{Mode: mode, Nodes: nodes}, nil
}

// set gives the policy to the calling thread, which executes the command.
func (c *memoryPolicyConfig) set() error {
	if c == nil {
		return nil
	}
	var mask unsafe.Pointer
	bits := 0
	if len(c.Nodes) > 0 {
		// The kernel takes one bit less than it is told of.
		mask, bits = unsafe.Pointer(&c.Nodes[0]), 64*len(c.Nodes)+1
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SET_MEMPOLICY, uintptr(c.Mode), uintptr(mask), uintptr(bits)); e != 0 {
		return fmt.Errorf("linux.memoryPolicy: %w", e)
	}
	return nil
}

// MemoryPolicies are the modes of linux.memoryPolicy that this runtime knows, and its flags.
func MemoryPolicies() (modes, flags []string) {
	for m := range maps.Keys(memoryModes) {
		modes = append(modes, string(m))
	}
	for f := range maps.Keys(memoryFlags) {
		flags = append(flags, string(f))
	}
	slices.Sort(modes)
	slices.Sort(flags)
	return modes, flags
}

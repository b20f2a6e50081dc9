package seccomp

import (
	"slices"
	"testing"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestArchitecturesOfTheProfile finds a numbering for every architecture that Docker's
// profile names, on the machines that Go makes programs for. n32 alone is a machine to the
// profile, and one of the ABIs of a 64-bit one to the kernel.
func TestArchitecturesOfTheProfile(t *testing.T) {
	machines := map[specs.Arch][]numbering{}
	for _, all := range numberings {
		machines[all[0].name] = all
	}
	for _, a := range seccomp.DefaultProfile().ArchMap {
		all := machines[a.Arch]
		switch a.Arch {
		case specs.ArchMIPS64N32:
			all = machines[specs.ArchMIPS64]
		case specs.ArchMIPSEL64N32:
			all = machines[specs.ArchMIPSEL64]
		}
		for _, want := range append([]specs.Arch{a.Arch}, a.SubArches...) {
			if !slices.ContainsFunc(all, func(n numbering) bool { return n.name == want }) {
				t.Errorf("a machine of %s does not know %s", a.Arch, want)
			}
		}
	}
}

// TestForeignNumbers spot-checks the ABIs that Go has no port to. Source: Linux,
// arch/s390/kernel/syscalls/syscall.tbl, arch/mips/kernel/syscalls/syscall_n32.tbl.
func TestForeignNumbers(t *testing.T) {
	for _, tc := range []struct {
		machine string
		abi     specs.Arch
		call    string
		want    int64 // -1: there is none
	}{
		{"s390x", specs.ArchS390, "read", 3}, {"s390x", specs.ArchS390, "chown", 182}, {"s390x", specs.ArchS390, "chown32", 212},
		{"s390x", specs.ArchS390, "clock_gettime64", 403}, {"s390x", specs.ArchS390, "_llseek", 140}, {"s390x", specs.ArchS390X, "chown", 212},
		{"s390x", specs.ArchS390X, "chown32", -1},
		{"mips64", specs.ArchMIPS64N32, "read", 6000}, {"mips64", specs.ArchMIPS64N32, "fcntl64", 6212}, {"mips64", specs.ArchMIPS64N32, "clock_gettime64", 6403},
		{"mips64le", specs.ArchMIPSEL64N32, "openat", 6251}, {"mips64le", specs.ArchMIPSEL64, "openat", 5247}, {"mips64le", specs.ArchMIPSEL64N32, "chown32", -1},
	} {
		for _, n := range numberings[tc.machine] {
			if n.name != tc.abi {
				continue
			}
			got, ok := n.numberOf(tc.call)
			if ok != (tc.want >= 0) || ok && int64(got) != tc.want {
				t.Errorf("%s %s: %d %v, want %d", tc.abi, tc.call, got, ok, tc.want)
			}
		}
	}
}

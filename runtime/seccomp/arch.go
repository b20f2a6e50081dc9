package seccomp

import (
	"encoding/binary"
	goruntime "runtime"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// syscallNumbers is one row of the table.
type syscallNumbers struct {
	name    string
	numbers [12]int32 // by column
}

// Columns of the table.
const (
	colAMD64 = iota
	col386
	colARM64
	colARM
	colPPC64
	colS390X
	colRISCV64
	colLoong64
	colMIPS64
	colMIPS
	colS390
	colMIPS64N32
)

// A numbering is one ABI of a machine.
type numbering struct {
	name   specs.Arch
	audit  uint32 // what the kernel calls it: AUDIT_ARCH_* of linux/audit.h
	column int
	bits   int // of an argument
	order  binary.ByteOrder
	bias   int32 // added to the numbers of the column
}

// x32Bit marks the numbers of x32, which shares its AUDIT_ARCH with x86_64.
const x32Bit = 0x40000000

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// numberings lists each machine's own first, by GOARCH.
var numberings = map[string][]numbering{
	"amd64": {
		{specs.ArchX86_64, unix.AUDIT_ARCH_X86_64, colAMD64, 64, le, 0},
		{specs.ArchX86, unix.AUDIT_ARCH_I386, col386, 32, le, 0},
		{specs.ArchX32, unix.AUDIT_ARCH_X86_64, colAMD64, 64, le, x32Bit},
	},
	"386": {{specs.ArchX86, unix.AUDIT_ARCH_I386, col386, 32, le, 0}},
	"arm64": {
		{specs.ArchAARCH64, unix.AUDIT_ARCH_AARCH64, colARM64, 64, le, 0},
		{specs.ArchARM, unix.AUDIT_ARCH_ARM, colARM, 32, le, 0},
	},
	"arm":     {{specs.ArchARM, unix.AUDIT_ARCH_ARM, colARM, 32, le, 0}},
	"ppc64":   {{specs.ArchPPC64, unix.AUDIT_ARCH_PPC64, colPPC64, 64, be, 0}},
	"ppc64le": {{specs.ArchPPC64LE, unix.AUDIT_ARCH_PPC64LE, colPPC64, 64, le, 0}},
	"s390x": {
		{specs.ArchS390X, unix.AUDIT_ARCH_S390X, colS390X, 64, be, 0},
		{specs.ArchS390, unix.AUDIT_ARCH_S390, colS390, 32, be, 0},
	},
	"riscv64": {{specs.ArchRISCV64, unix.AUDIT_ARCH_RISCV64, colRISCV64, 64, le, 0}},
	"loong64": {{specs.ArchLOONGARCH64, unix.AUDIT_ARCH_LOONGARCH64, colLoong64, 64, le, 0}},
	"mips64": {
		{specs.ArchMIPS64, unix.AUDIT_ARCH_MIPS64, colMIPS64, 64, be, 0},
		{specs.ArchMIPS, unix.AUDIT_ARCH_MIPS, colMIPS, 32, be, 0},
		{specs.ArchMIPS64N32, unix.AUDIT_ARCH_MIPS64N32, colMIPS64N32, 32, be, 0},
	},
	"mips64le": {
		{specs.ArchMIPSEL64, unix.AUDIT_ARCH_MIPSEL64, colMIPS64, 64, le, 0},
		{specs.ArchMIPSEL, unix.AUDIT_ARCH_MIPSEL, colMIPS, 32, le, 0},
		{specs.ArchMIPSEL64N32, unix.AUDIT_ARCH_MIPSEL64N32, colMIPS64N32, 32, le, 0},
	},
	"mips":   {{specs.ArchMIPS, unix.AUDIT_ARCH_MIPS, colMIPS, 32, be, 0}},
	"mipsle": {{specs.ArchMIPSEL, unix.AUDIT_ARCH_MIPSEL, colMIPS, 32, le, 0}},
}

// here are the numberings of this machine, its own first.
func here() []numbering { return numberings[goruntime.GOARCH] }

// listed are those of a machine that a profile is about: its own, and what the
// profile lists.
func listed(all []numbering, archs []specs.Arch) []numbering {
	var out []numbering
	for i, n := range all {
		if i == 0 || slices.Contains(archs, n.name) {
			out = append(out, n)
		}
	}
	return out
}

// known tells whether the specification has an architecture of that name.
func known(a specs.Arch) bool {
	switch a {
	case specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64,
		specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
		specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X,
		specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64,
		specs.ArchM68K, specs.ArchSH, specs.ArchSHEB:
		return true
	}
	return false
}

// x32Own are the calls that x32 numbers otherwise than x86_64. Source: Linux,
// arch/x86/entry/syscalls/syscall_64.tbl, the entries of the ABI x32.
var x32Own = map[string]int32{
	"rt_sigaction": 512, "rt_sigreturn": 513, "ioctl": 514, "readv": 515, "writev": 516, "recvfrom": 517,
	"sendmsg": 518, "recvmsg": 519, "execve": 520, "ptrace": 521, "rt_sigpending": 522, "rt_sigtimedwait": 523,
	"rt_sigqueueinfo": 524, "sigaltstack": 525, "timer_create": 526, "mq_notify": 527, "kexec_load": 528,
	"waitid": 529, "set_robust_list": 530, "get_robust_list": 531, "vmsplice": 532, "move_pages": 533,
	"preadv": 534, "pwritev": 535, "rt_tgsigqueueinfo": 536, "recvmmsg": 537, "sendmmsg": 538,
	"process_vm_readv": 539, "process_vm_writev": 540, "setsockopt": 541, "getsockopt": 542,
	"io_setup": 543, "io_submit": 544, "execveat": 545, "preadv2": 546, "pwritev2": 547,
}

// A row is a line of the table of system calls.
type row int

// rowOf finds the row of a name, and false where no numbering has such a call.
func rowOf(name string) (row, bool) {
	i, ok := slices.BinarySearchFunc(syscalls[:], name, func(s syscallNumbers, name string) int { return strings.Compare(s.name, name) })
	return row(i), ok
}

// number is the number of a call, and false where the numbering has none.
func (n numbering) number(r row) (uint32, bool) {
	s := &syscalls[r]
	if n.bias == x32Bit {
		if v, ok := x32Own[s.name]; ok {
			return uint32(v + n.bias), true
		}
	}
	v := s.numbers[n.column]
	return uint32(v + n.bias), v >= 0
}

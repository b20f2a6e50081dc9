package imagecmd

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// confineNodes keeps a container that has no device cgroup from making device nodes other
// than those that every container has, and its own: its root is the host's, and could
// use every device of it. Docker lets it make them all, and has the cgroup refuse their use.
// Only calls that the profile allows are changed.
func confineNodes(s *specs.Spec) {
	p := s.Linux.Seccomp
	if p == nil {
		return
	}
	for name, mode := range map[string]uint{"mknod": 1, "mknodat": 2} { // index of the argument; the device's number follows
		var rules []specs.LinuxSyscall
		for i := range p.Syscalls {
			r := &p.Syscalls[i]
			if r.Action != specs.ActAllow || !slices.Contains(r.Names, name) {
				continue
			}
			r.Names = slices.DeleteFunc(slices.Clone(r.Names), func(n string) bool { return n == name })
			for _, args := range nodeArgs(s, mode) {
				rules = append(rules, specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow, Args: append(args, r.Args...)})
			}
		}
		p.Syscalls = append(p.Syscalls, rules...)
	}
	p.Syscalls = slices.DeleteFunc(p.Syscalls, func(r specs.LinuxSyscall) bool { return len(r.Names) == 0 })
}

// nodeArgs are the arguments of mknod(2) that are harmless, from that of the mode on.
func nodeArgs(s *specs.Spec, mode uint) (all [][]specs.LinuxSeccompArg) {
	is := func(index uint, mask, value uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: index, Value: mask, ValueTwo: value, Op: specs.OpMaskedEqual}
	}
	for _, kind := range []uint64{0, unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK} {
		all = append(all, []specs.LinuxSeccompArg{is(mode, unix.S_IFMT, kind)})
	}
	device := func(kind uint64, major, minor uint32) {
		// The kernel's own encoding, of 32 bits (new_decode_dev).
		number := uint64(minor&0xff | major<<8 | minor&^0xff<<12)
		all = append(all, []specs.LinuxSeccompArg{is(mode, unix.S_IFMT, kind), is(mode+1, 0xffffffff, number)})
	}
	device(unix.S_IFCHR, 0, 0)                      // overlayfs's whiteout
	for _, minor := range []uint32{3, 5, 7, 8, 9} { // null, zero, full, random, urandom
		device(unix.S_IFCHR, 1, minor)
	}
	for minor := range uint32(3) { // tty, console, ptmx
		device(unix.S_IFCHR, 5, minor)
	}
	for _, d := range s.Linux.Devices {
		kind := uint64(unix.S_IFCHR)
		if d.Type == "b" {
			kind = unix.S_IFBLK
		}
		device(kind, uint32(d.Major), uint32(d.Minor))
	}
	return all
}

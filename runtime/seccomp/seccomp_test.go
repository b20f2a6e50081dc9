package seccomp

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// call is a struct seccomp_data.
type call struct {
	number uint32
	arch   uint32
	args   [6]uint64
}

// word is the word of the struct at an offset, on a machine of n's byte order.
func (c call) word(n numbering, off uint32) uint32 {
	switch off {
	case offNumber:
		return c.number
	case offArch:
		return c.arch
	}
	v := c.args[(off-offArgs)/8]
	if upper := off%8 == 4; upper != (n.order == be) {
		return uint32(v >> 32)
	}
	return uint32(v)
}

// execute runs a filter as the kernel does.
func execute(t testing.TB, prog []unix.SockFilter, n numbering, c call) uint32 {
	t.Helper()
	var a uint32
	for pc := 0; pc < len(prog); pc++ {
		i := prog[pc]
		taken := false
		switch i.Code {
		case opLoad:
			a = c.word(n, i.K)
			continue
		case opAnd:
			a &= i.K
			continue
		case opJump:
			pc += int(i.K)
			continue
		case opReturn:
			return i.K
		case opEqual:
			taken = a == i.K
		case opMore:
			taken = a > i.K
		case opLeast:
			taken = a >= i.K
		default:
			t.Fatalf("instruction %d: code %#x", pc, i.Code)
		}
		if taken {
			pc += int(i.Jt)
		} else {
			pc += int(i.Jf)
		}
	}
	t.Fatal("the program has no end")
	return 0
}

// numberOf is the number of the call of a name, and false where there is none.
func (n numbering) numberOf(name string) (uint32, bool) {
	r, ok := rowOf(name)
	if !ok {
		return 0, false
	}
	return n.number(r)
}

// meaning is what doc.go says of a profile, said naively.
func meaning(s *specs.LinuxSeccomp, all []numbering, c call) uint32 {
	p, err := check(s)
	if err != nil {
		panic(err)
	}
	for i, n := range all {
		if n.audit != c.arch || (n.bias == x32Bit) != (n.name == specs.ArchX32) {
			continue
		}
		if n.audit == unix.AUDIT_ARCH_X86_64 && (c.number&x32Bit != 0 || c.number > x32Bit) != (n.bias == x32Bit) && c.number != 0xffffffff {
			continue
		}
		if c.number == 0xffffffff && n.audit == unix.AUDIT_ARCH_X86_64 {
			return p.def
		}
		if i > 0 && !slices.Contains(s.Architectures, n.name) {
			continue
		}
		newest, any := uint32(0), false
		var first *rule
		for _, r := range p.rules {
			for _, row := range r.rows {
				num, ok := n.number(row)
				if !ok {
					continue
				}
				newest, any = max(newest, num), true
				if num != c.number {
					continue
				}
				if len(r.when) == 0 && (first == nil || len(first.when) > 0) {
					first = &r
				}
				if first == nil && !slices.ContainsFunc(r.when, func(w condition) bool { return !w.holds(c.args[w.index], n.bits) }) {
					first = &r
				}
			}
		}
		switch {
		case first != nil:
			return first.answer
		case p.refuses && any && c.number > newest:
			return retErrno | uint32(unix.ENOSYS)
		}
		return p.def
	}
	return retKillThread
}

func uintp(v uint) *uint { return &v }

func TestMeaning(t *testing.T) {
	amd64 := numberings["amd64"]
	number := func(n numbering, name string) uint32 {
		v, ok := n.numberOf(name)
		if !ok {
			t.Fatalf("%s has no %s", n.name, name)
		}
		return v
	}
	s := &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX32},
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"read", "write", "nanosleep", "no_such_call"}, Action: specs.ActAllow},
			{Names: []string{"chown"}, Action: specs.ActErrno, ErrnoRet: uintp(0)},
			{Names: []string{"personality"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 8, Op: specs.OpEqualTo}}},
			{Names: []string{"personality"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 0xffffffff, Op: specs.OpEqualTo}}},
			{Names: []string{"clone"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 0x7e020000, ValueTwo: 0, Op: specs.OpMaskedEqual}}},
			{Names: []string{"lseek"}, Action: specs.ActLog, Args: []specs.LinuxSeccompArg{{Index: 1, Value: 1 << 40, Op: specs.OpGreaterThan}}},
			{Names: []string{"kill"}, Action: specs.ActKillProcess, Args: []specs.LinuxSeccompArg{{Index: 1, Value: 9, Op: specs.OpEqualTo}, {Index: 1, Value: 15, Op: specs.OpEqualTo}}},
			{Names: []string{"ioctl"}, Action: specs.ActTrace, ErrnoRet: uintp(7), Args: []specs.LinuxSeccompArg{{Index: 1, Value: 5, Op: specs.OpLessEqual}}},
			{Names: []string{"ioctl"}, Action: specs.ActTrap},
		},
	}
	f, err := compile(s, amd64)
	if err != nil {
		t.Fatal(err)
	}
	long, x32 := amd64[0], amd64[2]
	eperm, enosys := retErrno|uint32(unix.EPERM), retErrno|uint32(unix.ENOSYS)
	for _, tc := range []struct {
		what string
		n    numbering
		num  uint32
		args [6]uint64
		want uint32
	}{
		{"named", long, number(long, "read"), [6]uint64{}, retAllow},
		{"not named", long, number(long, "chdir"), [6]uint64{}, eperm},
		{"newer than all that is named", long, 400, [6]uint64{}, enosys},
		{"no call", long, 0xffffffff, [6]uint64{}, eperm},
		{"success without doing anything", long, number(long, "chown"), [6]uint64{}, retErrno},
		{"equal", long, number(long, "personality"), [6]uint64{8}, retAllow},
		{"equal to the second", long, number(long, "personality"), [6]uint64{0xffffffff}, retAllow},
		{"equal in the lower half only", long, number(long, "personality"), [6]uint64{1<<32 | 8}, eperm},
		{"masked", long, number(long, "clone"), [6]uint64{0x11}, retAllow},
		{"masked, one bit too many", long, number(long, "clone"), [6]uint64{0x10000011}, eperm},
		{"more", long, number(long, "lseek"), [6]uint64{0, 1<<40 + 1}, retLog},
		{"more, by the upper half", long, number(long, "lseek"), [6]uint64{0, 1 << 41}, retLog},
		{"the same", long, number(long, "lseek"), [6]uint64{0, 1 << 40}, eperm},
		{"two conditions on an argument, the second", long, number(long, "kill"), [6]uint64{1, 15}, retKillProcess},
		{"two conditions on an argument, neither", long, number(long, "kill"), [6]uint64{1, 10}, eperm},
		{"without conditions wins", long, number(long, "ioctl"), [6]uint64{0, 1}, retTrap},
		{"x32", x32, number(x32, "read"), [6]uint64{}, retAllow},
		{"x32's own number", x32, 0x40000000 + 514, [6]uint64{}, retTrap},
		{"x32 with the other's number", x32, 0x40000000 + 16, [6]uint64{}, eperm},
		{"not listed", amd64[1], 3, [6]uint64{}, retKillThread},
	} {
		if got := execute(t, f.Program, tc.n, call{tc.num, tc.n.audit, tc.args}); got != tc.want {
			t.Errorf("%s: %#x, want %#x", tc.what, got, tc.want)
		}
	}
	if got := execute(t, f.Program, long, call{0, unix.AUDIT_ARCH_AARCH64, [6]uint64{}}); got != retKillThread {
		t.Errorf("another machine: %#x", got)
	}
}

func TestRefused(t *testing.T) {
	ok := specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	for what, change := range map[string]func(*specs.LinuxSeccomp){
		"unknown action":            func(s *specs.LinuxSeccomp) { s.DefaultAction = "SCMP_ACT_MAYBE" },
		"default can't be notified": func(s *specs.LinuxSeccomp) { s.DefaultAction = specs.ActNotify },
		"takes no errnoRet":         func(s *specs.LinuxSeccomp) { s.DefaultErrnoRet = uintp(1) },
		"errnoRet 5000 is more":     func(s *specs.LinuxSeccomp) { s.DefaultAction, s.DefaultErrnoRet = specs.ActErrno, uintp(5000) },
		"unknown architecture":      func(s *specs.LinuxSeccomp) { s.Architectures = []specs.Arch{"SCMP_ARCH_PDP11"} },
		"unknown flag":              func(s *specs.LinuxSeccomp) { s.Flags = []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_X"} },
		"without names":             func(s *specs.LinuxSeccomp) { s.Syscalls = []specs.LinuxSyscall{{Action: specs.ActErrno}} },
		"no rule notifies":          func(s *specs.LinuxSeccomp) { s.ListenerPath = "/x" },
		"no listenerPath": func(s *specs.LinuxSeccomp) {
			s.Syscalls = []specs.LinuxSyscall{{Names: []string{"open"}, Action: specs.ActNotify}}
		},
		"can't be the action of": func(s *specs.LinuxSeccomp) {
			s.Syscalls = []specs.LinuxSyscall{{Names: []string{"write"}, Action: specs.ActNotify}}
		},
		"listenerMetadata, but no": func(s *specs.LinuxSeccomp) { s.ListenerMetadata = "x" },
		"argument 6: calls have 6": func(s *specs.LinuxSeccomp) { s.Syscalls = arg(specs.LinuxSeccompArg{Index: 6, Op: specs.OpEqualTo}) },
		"unknown operator":         func(s *specs.LinuxSeccomp) { s.Syscalls = arg(specs.LinuxSeccompArg{Op: "SCMP_CMP_ABOUT"}) },
		"instructions, the kernel takes": func(s *specs.LinuxSeccomp) {
			for i := range uint64(2000) {
				s.Syscalls = append(s.Syscalls, arg(specs.LinuxSeccompArg{Value: i, Op: specs.OpEqualTo})...)
			}
		},
	} {
		s := ok
		change(&s)
		_, err := Compile(&s)
		want := strings.ReplaceAll(what, "default can't be notified", "can't be the default action")
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func arg(a specs.LinuxSeccompArg) []specs.LinuxSyscall {
	return []specs.LinuxSyscall{{Names: []string{"close"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{a}}}
}

var ops = []specs.LinuxSeccompOperator{
	specs.OpEqualTo, specs.OpNotEqual, specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpMaskedEqual,
}

// randomProfile is a profile, and the values that it compares with.
func randomProfile(r *rand.Rand, all []numbering) (*specs.LinuxSeccomp, []uint64) {
	actions := []specs.LinuxSeccompAction{specs.ActErrno, specs.ActAllow, specs.ActLog, specs.ActKillProcess, specs.ActTrap}
	s := &specs.LinuxSeccomp{DefaultAction: actions[r.IntN(len(actions))]}
	for _, n := range all {
		if r.IntN(2) == 0 {
			s.Architectures = append(s.Architectures, n.name)
		}
	}
	values := []uint64{0, 1, 1 << 31, 1 << 32, 1<<32 - 1, 1<<64 - 1, r.Uint64(), r.Uint64() >> r.IntN(64)}
	for range r.IntN(60) {
		c := specs.LinuxSyscall{Action: actions[r.IntN(len(actions))]}
		for range 1 + r.IntN(4) {
			c.Names = append(c.Names, syscalls[r.IntN(len(syscalls))].name)
		}
		for range r.IntN(4) {
			c.Args = append(c.Args, specs.LinuxSeccompArg{
				Index: uint(r.IntN(6)), Op: ops[r.IntN(len(ops))],
				Value: values[r.IntN(len(values))], ValueTwo: values[r.IntN(len(values))],
			})
		}
		s.Syscalls = append(s.Syscalls, c)
	}
	return s, values
}

func TestCompiledEqualsMeaning(t *testing.T) {
	for machine, all := range numberings {
		for seed := range uint64(25) {
			r := rand.New(rand.NewPCG(seed, uint64(len(machine))))
			s, values := randomProfile(r, all)
			f, err := compile(s, all)
			if err != nil {
				t.Fatalf("%s, seed %d: %v", machine, seed, err)
			}
			for range 300 {
				n := all[r.IntN(len(all))]
				c := call{arch: n.audit}
				row := syscalls[r.IntN(len(syscalls))].name
				if len(s.Syscalls) > 0 && r.IntN(2) == 0 {
					names := s.Syscalls[r.IntN(len(s.Syscalls))].Names
					row = names[r.IntN(len(names))]
				}
				c.number, _ = n.numberOf(row)
				switch r.IntN(20) {
				case 0:
					c.number = r.Uint32()
				case 1:
					c.number++
				case 2:
					c.number = 0xffffffff
				}
				for i := range c.args {
					c.args[i] = values[r.IntN(len(values))] + r.Uint64N(3) - 1
				}
				if got, want := execute(t, f.Program, n, c), meaning(s, all, c); got != want {
					t.Fatalf("%s, seed %d: %s %+v: %#x, want %#x", machine, seed, row, c, got, want)
				}
			}
		}
	}
}

func TestDefault(t *testing.T) {
	spec := func(caps ...string) *specs.Spec {
		return &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
	}
	answer := func(s *specs.Spec, name string, args ...uint64) uint32 {
		p, err := Default(s)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d instructions", len(f.Program))
		n := here()[0]
		num, ok := n.numberOf(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		c := call{number: num, arch: n.audit}
		copy(c.args[:], args)
		return execute(t, f.Program, n, c)
	}
	eperm := retErrno | uint32(unix.EPERM)
	if got := answer(spec(), "read"); got != retAllow {
		t.Errorf("read: %#x", got)
	}
	if got := answer(spec(), "mount"); got != eperm {
		t.Errorf("mount: %#x", got)
	}
	if got := answer(spec("CAP_SYS_ADMIN"), "mount"); got != retAllow {
		t.Errorf("mount with CAP_SYS_ADMIN: %#x", got)
	}
	if got := answer(spec(), "clone3"); got != retErrno|uint32(unix.ENOSYS) {
		t.Errorf("clone3: %#x", got)
	}
	if got := answer(&specs.Spec{}, "clone", unix.CLONE_NEWUSER); got != eperm {
		t.Errorf("clone with CLONE_NEWUSER: %#x", got)
	}
	if got := answer(&specs.Spec{}, "clone", 17); got != retAllow {
		t.Errorf("clone: %#x", got)
	}
}

func TestParse(t *testing.T) {
	p, err := Parse([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]}`), &specs.Spec{})
	if err != nil || len(p.Syscalls) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err := Parse([]byte(`{}`), &specs.Spec{}); p != nil || err != nil {
		t.Errorf("an empty profile: %+v, %v", p, err)
	}
	if _, err := Parse([]byte(`{`), &specs.Spec{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("not JSON: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"value":5,"valueTwo":6,"op":"SCMP_CMP_MASKED_EQ"}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b, &specs.Spec{})
		if err != nil || p == nil {
			return
		}
		filter, err := Compile(p)
		if err != nil {
			return
		}
		n := here()[0]
		for num := range uint32(500) {
			c := call{number: num, arch: n.audit, args: [6]uint64{uint64(num), 5}}
			if got, want := execute(t, filter.Program, n, c), meaning(p, here(), c); got != want {
				t.Fatalf("%+v: %#x, want %#x", c, got, want)
			}
		}
	})
}

package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A Filter is a compiled profile. Its fields are what [Filter.Load] loads; they
// can be encoded and sent to the process that does.
type Filter struct {
	Program []unix.SockFilter
	Flags   uint // SECCOMP_FILTER_FLAG_*
	// Notifies tells that loading yields a descriptor, the listener of seccomp_unotify(2).
	Notifies bool
}

// Compile makes the filter of a profile for this machine. Errors wrap
// [ErrInvalid].
func Compile(s *specs.LinuxSeccomp) (Filter, error) { return compile(s, here()) }

func compile(s *specs.LinuxSeccomp, all []numbering) (Filter, error) {
	p, err := check(s)
	if err != nil {
		return Filter{}, err
	}
	if len(all) == 0 {
		return Filter{}, fmt.Errorf("seccomp: no system calls are known of this kind of machine")
	}
	// Numberings that share an AUDIT_ARCH are told apart by the number.
	use := listed(all, p.archs)
	prog := &program{}
	at := prog.answer(retKillThread)
	other := at
	for _, n := range slices.Backward(use) {
		if n.bias == x32Bit {
			continue // below, with x86_64
		}
		at = prog.branch(opEqual, n.audit, prog.numbering(&p, n, use, other), at)
	}
	at = prog.load(offArch, at)
	f := Filter{Program: prog.instructions(at), Flags: p.flags, Notifies: p.notifies}
	if len(f.Program) > maxInstructions {
		return Filter{}, invalid("it makes a filter of %d instructions, the kernel takes %d", len(f.Program), maxInstructions)
	}
	return f, nil
}

// numbering writes the search of the number in one numbering, and for x86_64
// the search in that of x32, if it is used.
func (p *program) numbering(pr *profile, n numbering, use []numbering, other place) place {
	at := p.search(p.runs(pr, n))
	if n.name == specs.ArchX86_64 {
		x32 := other
		for _, o := range use {
			if o.bias == x32Bit {
				x32 = p.search(p.runs(pr, o))
			}
		}
		at = p.branch(opLeast, x32Bit, x32, at)
		// What a tracer makes a call that is not to be done.
		at = p.branch(opEqual, 0xffffffff, p.answer(pr.def), at)
	}
	return p.load(offNumber, at)
}

// A run is consecutive numbers, from one up to the next run's, that are dealt
// with at one place.
type run struct {
	from uint32
	at   place
}

// A numbered is a call by its number in some numbering, in the upper half, and in the lower
// one the index of a rule about it.
type numbered uint64

func (c numbered) number() uint32         { return uint32(c >> 32) }
func (c numbered) rule(of *profile) *rule { return &of.rules[uint32(c)] }

// calls are those of a numbering that the profile has rules about, in the order of their
// numbers, and of the rules for each.
func (pr *profile) calls(n numbering) []numbered {
	all := make([]numbered, 0, pr.named)
	for i, r := range pr.rules {
		for _, row := range r.rows {
			if num, ok := n.number(row); ok {
				all = append(all, numbered(num)<<32|numbered(i))
			}
		}
	}
	slices.Sort(all)
	return all
}

// runs are all numbers, in order; the first run begins at 0.
func (p *program) runs(pr *profile, n numbering) []run {
	def := p.answer(pr.def)
	out := []run{{0, def}}
	add := func(from uint32, at place) {
		switch last := &out[len(out)-1]; {
		case last.from == from:
			last.at = at
			if len(out) > 1 && out[len(out)-2].at == at {
				out = out[:len(out)-1]
			}
		case last.at != at:
			out = append(out, run{from, at})
		}
	}
	all := pr.calls(n)
	for rest := all; len(rest) > 0; {
		num, same := rest[0].number(), 1
		for same < len(rest) && rest[same].number() == num {
			same++
		}
		add(num, p.rules(pr, rest[:same], n, def))
		add(num+1, def)
		rest = rest[same:]
	}
	if pr.refuses && len(all) > 0 {
		add(all[len(all)-1].number()+1, p.answer(pr.unknownNew))
	}
	return out
}

// rules writes what is done with one call.
func (p *program) rules(pr *profile, about []numbered, n numbering, def place) place {
	for _, c := range about {
		if r := c.rule(pr); len(r.when) == 0 {
			return p.answer(r.answer)
		}
	}
	at := def
	for _, c := range slices.Backward(about) {
		no, r := at, c.rule(pr)
		yes := p.answer(r.answer)
		for _, w := range slices.Backward(r.when) {
			yes = p.condition(w, n, yes, no)
		}
		at = yes
	}
	return at
}

// search writes a search by halves for the number in the accumulator.
func (p *program) search(rs []run) place {
	if len(rs) == 1 {
		return rs[0].at
	}
	half := len(rs) / 2
	return p.branch(opLeast, rs[half].from, p.search(rs[half:]), p.search(rs[:half]))
}

package seccomp

import "golang.org/x/sys/unix"

// A program of classic BPF, written from its end: every jump leads forwards, to
// what is there already.
type program struct {
	rev  []unix.SockFilter // last instruction first
	rets map[uint32]place  // where an answer is given
}

// place is an instruction, counted from the program's end.
type place int

// Instructions, by the names of linux/bpf_common.h.
const (
	opLoad   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opAnd    = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opJump   = unix.BPF_JMP | unix.BPF_JA
	opEqual  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opMore   = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	opLeast  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K // taken where A ≥ k
	opReturn = unix.BPF_RET | unix.BPF_K
)

// maxInstructions is BPF_MAXINSNS.
const maxInstructions = 4096

func (p *program) emit(i unix.SockFilter) place {
	p.rev = append(p.rev, i)
	return place(len(p.rev))
}

// distance is what a jump written now must skip to reach to.
func (p *program) distance(to place) int { return len(p.rev) - int(to) }

// answer is a place that ends the filter with an answer.
func (p *program) answer(ret uint32) place {
	if at, ok := p.rets[ret]; ok {
		return at
	}
	if p.rets == nil {
		p.rets = map[uint32]place{}
	}
	at := p.emit(unix.SockFilter{Code: opReturn, K: ret})
	p.rets[ret] = at
	return at
}

// near is a place from which to is reached, near enough for a conditional jump.
func (p *program) near(to place) place {
	// Two such may be needed for one jump.
	if p.distance(to) < 250 {
		return to
	}
	return p.emit(unix.SockFilter{Code: opJump, K: uint32(p.distance(to))})
}

// branch compares the accumulator with k.
func (p *program) branch(op uint16, k uint32, then, otherwise place) place {
	if then == otherwise {
		return then
	}
	then, otherwise = p.near(then), p.near(otherwise)
	return p.emit(unix.SockFilter{Code: op, Jt: uint8(p.distance(then)), Jf: uint8(p.distance(otherwise)), K: k})
}

// load loads the word at an offset of struct seccomp_data, and goes on at next.
func (p *program) load(offset uint32, next place) place {
	p.then(next)
	return p.emit(unix.SockFilter{Code: opLoad, K: offset})
}

// mask ands the accumulator with k, and goes on at next.
func (p *program) mask(k uint32, next place) place {
	p.then(next)
	return p.emit(unix.SockFilter{Code: opAnd, K: k})
}

// then makes what is written now be followed by to.
func (p *program) then(to place) {
	if d := p.distance(to); d != 0 {
		p.emit(unix.SockFilter{Code: opJump, K: uint32(d)})
	}
}

// instructions is the program from start, first instruction first.
func (p *program) instructions(start place) []unix.SockFilter {
	out := make([]unix.SockFilter, 0, start)
	for i := int(start) - 1; i >= 0; i-- {
		out = append(out, p.rev[i])
	}
	return out
}

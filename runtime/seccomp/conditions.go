package seccomp

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A condition is about one argument of a call: a word of 64 bits, or of the
// lower 32 for numberings whose arguments have no more.
type condition struct {
	index uint
	op    specs.LinuxSeccompOperator
	value uint64 // to compare with; for OpMaskedEqual the mask
	two   uint64 // for OpMaskedEqual what the masked argument is to be
}

// maxArgs is the number of arguments in struct seccomp_data.
const maxArgs = 6

func conditionOf(a specs.LinuxSeccompArg) (condition, error) {
	c := condition{a.Index, a.Op, a.Value, a.ValueTwo}
	if a.Index >= maxArgs {
		return c, invalid("argument %d: calls have %d", a.Index, maxArgs)
	}
	switch a.Op {
	case specs.OpEqualTo, specs.OpNotEqual, specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpLessThan, specs.OpLessEqual:
		return c, nil
	case specs.OpMaskedEqual:
		c.two &= c.value
		return c, nil
	}
	return c, invalid("unknown operator %q", a.Op)
}

// holds tells whether the condition is true of an argument. It is what the
// compiled filter must agree with.
func (c condition) holds(arg uint64, bits int) bool {
	value, two := c.value, c.two
	if bits == 32 {
		arg, value, two = arg&0xffffffff, value&0xffffffff, two&0xffffffff
	}
	switch c.op {
	case specs.OpEqualTo:
		return arg == value
	case specs.OpNotEqual:
		return arg != value
	case specs.OpGreaterThan:
		return arg > value
	case specs.OpGreaterEqual:
		return arg >= value
	case specs.OpLessThan:
		return arg < value
	case specs.OpLessEqual:
		return arg <= value
	}
	return arg&value == two
}

// Offsets in struct seccomp_data (linux/seccomp.h).
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

// condition writes a test of c that goes on at yes or at no.
func (p *program) condition(c condition, n numbering, yes, no place) place {
	low := offArgs + 8*uint32(c.index)
	high := low + 4
	if n.order == be {
		low, high = high, low
	}
	op := c.op
	// Less is not more, and at most not at least.
	switch op {
	case specs.OpNotEqual:
		op, yes, no = specs.OpEqualTo, no, yes
	case specs.OpLessThan:
		op, yes, no = specs.OpGreaterEqual, no, yes
	case specs.OpLessEqual:
		op, yes, no = specs.OpGreaterThan, no, yes
	}
	at := p.half(op, low, uint32(c.value), uint32(c.two), yes, no)
	if n.bits == 32 {
		return at
	}
	value, two := uint32(c.value>>32), uint32(c.two>>32)
	switch op {
	case specs.OpEqualTo, specs.OpMaskedEqual:
		return p.half(op, high, value, two, at, no)
	}
	// The upper half decides, unless it is the same.
	at = p.branch(opEqual, value, at, no)
	at = p.branch(opMore, value, yes, at)
	return p.load(high, at)
}

// half writes a test of one half of an argument.
func (p *program) half(op specs.LinuxSeccompOperator, offset, value, two uint32, yes, no place) place {
	switch op {
	case specs.OpMaskedEqual:
		return p.load(offset, p.mask(value, p.branch(opEqual, two, yes, no)))
	case specs.OpGreaterThan:
		return p.load(offset, p.branch(opMore, value, yes, no))
	case specs.OpGreaterEqual:
		return p.load(offset, p.branch(opLeast, value, yes, no))
	}
	return p.load(offset, p.branch(opEqual, value, yes, no))
}

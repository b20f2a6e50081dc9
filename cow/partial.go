package cow

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// PartialUnit is the unit, in bytes, in which a file that was copied up without
// all of its data holds data of its own: see [whiteout.KeyPartial].
const PartialUnit = 4096

// PartialRuns calls fn for each run of units below bound that such a file, fd,
// holds; the holes are the list of what is missing. The last run may end at the
// bound, within a unit.
func PartialRuns(fd int, bound int64, fn func(off, end int64)) error {
	for off := int64(0); off < bound; {
		data, err := seek(fd, off, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return nil
		}
		if err != nil {
			return err
		}
		hole, err := seek(fd, data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		from := (data + PartialUnit - 1) / PartialUnit * PartialUnit
		to := bound
		if hole < bound {
			to = hole / PartialUnit * PartialUnit
		}
		if from < to {
			fn(from, to)
		}
		off = hole
	}
	return nil
}

// partialData is the content of a file that was copied up without all of its
// data: below bound what the upper doesn't hold is the base's.
type partialData struct {
	bound int64
	from  string               // path of the base's file
	open  func() (Data, error) // opens that
	own   *fileData
	base  Data
	held  []Extent // what the upper has; the last reaches from bound to the end
}

// setBound takes in a KeyPartial.
func (p *partialData) setBound(value string) error {
	b, err := strconv.ParseInt(value, 10, 64)
	if err != nil || b < 0 {
		return fmt.Errorf("%s %q is no number of bytes", whiteout.KeyPartial, value)
	}
	p.bound = min(p.bound, b)
	return nil
}

// begin reads which data is in own, which p takes over.
func (p *partialData) begin(own *fileData) error {
	p.own = own
	err := PartialRuns(own.fd, p.bound, func(off, end int64) { p.held = join(p.held, off, end) })
	p.held = join(p.held, p.bound, own.size)
	if err == nil {
		p.base, err = p.open()
	}
	if err != nil {
		own.Close()
	}
	return err
}

func (p *partialData) ReadAt(b []byte, off int64) (int, error) {
	next := sort.Search(len(p.held), func(i int) bool { return p.held[i].end() > off })
	done := 0
	for done < len(b) {
		at := off + int64(done)
		if at >= p.own.size {
			return done, io.EOF
		}
		var src io.ReaderAt = p.base
		end := p.own.size
		if next < len(p.held) {
			if h := p.held[next]; h.Off > at {
				end = h.Off
			} else {
				src, end = p.own, h.end()
				next++
			}
		}
		part := b[done:]
		part = part[:min(int64(len(part)), end-at)]
		if err := readFull(src, part, at); err != nil {
			return done, err
		}
		done += len(part)
	}
	return done, nil
}

// Extents implements [Data].
func (p *partialData) Extents() ([]Extent, error) {
	below, err := p.base.Extents()
	if err != nil {
		return nil, err
	}
	own, err := p.own.Extents()
	if err != nil {
		return nil, err
	}
	var out []Extent
	// put adds what of all lies in [from, to), and drops what lies before.
	put := func(all []Extent, from, to int64) []Extent {
		for len(all) > 0 && all[0].end() <= from {
			all = all[1:]
		}
		for _, e := range all {
			if e.Off >= to {
				break
			}
			out = join(out, max(e.Off, from), min(e.end(), to))
		}
		return all
	}
	at := int64(0)
	for _, h := range p.held {
		below = put(below, at, h.Off)
		own = put(own, h.Off, h.end())
		at = h.end()
	}
	put(below, at, p.own.size)
	return out, nil
}

// join appends the run from off to end to ascending runs.
func join(runs []Extent, off, end int64) []Extent {
	if off >= end {
		return runs
	}
	if n := len(runs); n > 0 && runs[n-1].end() == off {
		runs[n-1].Len += end - off
		return runs
	}
	return append(runs, Extent{off, end - off})
}

func (p *partialData) Close() error { return errors.Join(p.own.Close(), p.base.Close()) }
